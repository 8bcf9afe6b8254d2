"""Runs side by side: the final ensembles of each machine, and whether their numbers can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from asd_ray.ensembling import Ensemble, TrustLevel, TrustWarning, load, stored, trust_level
from asd_ray.ensembling._part import Part
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.ensembling.trust import warnings_of
from asd_ray.errors import AsdRayError, listing
from asd_ray.reporting.overview import cost, detectors

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger, TrialRecord

FORMAT = "asd_ray-comparison/1"


@dataclass(frozen=True)
class RunNumbers(Part):
    """The final ensemble of one machine in one run. Numbers are None where nothing was measured."""

    run: str
    recipe: str
    protocol: str | None
    forecasts: bool  # False for an upper bound
    maximise: str
    value: float | None
    interval: tuple[float, ...] | None
    auc: float | None
    pauc: float | None
    hmean: float | None
    counts: DecisionCounts | None
    trust: TrustLevel
    detectors: str
    candidates: int
    cost: str  # time for 10 s of sound; "" if not measured
    trials: int
    seconds: float | None  # that the machine's trials took
    dataset: str
    fingerprint: str
    year: int | None
    not_measured: str = ""

    @classmethod
    def of(
        cls, run: str, final: Ensemble, records: Sequence[TrialRecord], warnings: Sequence[TrustWarning] | None = None
    ) -> Self:
        """`warnings` replace those of the ensemble's file, which files of earlier versions lack."""
        headline = final.headline
        spent = [record.seconds / len(record.machines) for record in records if record.seconds]
        return cls(
            run=run,
            recipe=final.name,
            protocol=final.headline_protocol,
            forecasts=final.forecasts,
            maximise=final.config.maximise,
            value=headline.value if headline else None,
            interval=headline.interval if headline else None,
            auc=headline.auc if headline else None,
            pauc=headline.pauc if headline else None,
            hmean=headline.hmean if headline else None,
            counts=final.counts,
            trust=trust_level(final, warnings),
            detectors=detectors(final),
            candidates=final.candidates.tried,
            cost=cost(final),
            trials=len(records),
            seconds=sum(spent) if spent else None,
            dataset=final.dataset.name,
            fingerprint=final.dataset.fingerprint,
            year=final.dataset.year,
            not_measured=final.not_measured,
        )


@dataclass(frozen=True)
class MachineComparison(Part):
    """A machine in several runs. `against` says why the numbers cannot be compared; it is empty where they can."""

    machine: str
    runs: tuple[RunNumbers, ...]
    without: tuple[str, ...]  # runs that have no ensemble of the machine
    against: tuple[str, ...]
    notes: tuple[str, ...]  # what to know when comparing

    @classmethod
    def of(cls, machine: str, runs: Sequence[RunNumbers], without: Sequence[str]) -> Self:
        against = tuple(_against(runs))
        return cls(machine, tuple(runs), tuple(without), against, tuple(_notes(runs, comparable=not against)))


@dataclass(frozen=True)
class RunComparison(Part):
    """Runs side by side, in the order in which they were named."""

    created: str  # ISO 8601
    runs: tuple[str, ...]
    machines: tuple[MachineComparison, ...]
    not_read: tuple[str, ...]  # why ensemble files are left out

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **super().to_json()}

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        return super().from_json({key: value for key, value in stored.items() if key != "format"})


def compare(runs: Iterable[Ledger | str]) -> RunComparison:
    """The final ensembles of two or more runs, given as ledgers, folders or s3:// addresses.

    Only what the files hold is compared: nothing is chosen or measured again. What limits the trust in files of earlier
    versions, which have no warnings, is found in the ledger.
    """
    from asd_ray.ledger import Ledger

    ledgers = [(run if isinstance(run, Ledger) else Ledger(run)).require() for run in runs]
    names = tuple(ledger.layout.root for ledger in ledgers)
    places = {(ledger.layout.base, *sorted(ledger.layout.options.items())) for ledger in ledgers}
    if len(names) < 2 or len(places) < len(names):
        raise AsdRayError(f"two different runs or more can be compared, but got: {', '.join(names) or 'none'}")
    finals: dict[str, dict[str, RunNumbers]] = {}
    not_read: list[str] = []
    for name, ledger in zip(names, ledgers, strict=True):
        files = stored(ledger)
        not_read += [why for own in files.unreadable.values() for file, why in own.items() if file == FINAL]
        for machine, ensembles in files.ensembles.items():
            if FINAL not in ensembles:
                continue
            final = ensembles[FINAL]
            try:
                numbers = RunNumbers.of(name, final, ledger.records(machine), _warnings(ledger, final))
            except AsdRayError as error:  # the file does not fit this ledger; the report leaves it out as well
                not_read.append(str(error))
                continue
            finals.setdefault(machine, {})[name] = numbers
    if not finals:
        why = f"; files that cannot be read:\n{listing(not_read)}" if not_read else ""
        raise AsdRayError(f"none of these runs has an ensemble; run: asd-ray ensemble --run {names[0]}{why}")
    machines = tuple(
        MachineComparison.of(machine, list(own.values()), [name for name in names if name not in own])
        for machine, own in sorted(finals.items(), key=lambda item: item[0].lower())
    )
    return RunComparison(datetime.now(UTC).isoformat(timespec="seconds"), names, machines, tuple(not_read))


def _warnings(ledger: Ledger, final: Ensemble) -> Sequence[TrustWarning]:
    if final.warnings is not None:
        return final.warnings
    return warnings_of(final, load(ledger, final.machine, final.recipe.by, only=final.candidates.all, drop=True))


def _against(runs: Sequence[RunNumbers]) -> Iterable[str]:
    if len(runs) < 2:
        yield "only one of the runs has an ensemble of this machine"
        return
    if any(not own.fingerprint for own in runs):
        yield "the clips of an imported system are not known, so they may be other clips"
    elif len({own.fingerprint for own in runs}) > 1:
        yield "they are of other clips: the fingerprints of the data differ"
    if len({own.maximise for own in runs}) > 1:
        yield f"they are of other measures: {', '.join(dict.fromkeys(own.maximise for own in runs))}"
    if len({own.year for own in runs}) > 1:
        years = dict.fromkeys(str(own.year or "no year") for own in runs)
        yield f"they are of other cells: DCASE {', '.join(years)}"
    if unmeasured := [own.run for own in runs if own.value is None]:
        yield f"nothing was measured in {', '.join(unmeasured)}"
    elif bounds := [own.run for own in runs if not own.forecasts]:
        yield f"the number of {', '.join(bounds)} is an upper bound and not a forecast"
    unseen = [own.run for own in runs if own.protocol == "unseen"]
    others = [own.run for own in runs if own.protocol not in ("unseen", None)]
    if unseen and others:
        yield f"{', '.join(unseen)} was measured on unseen clips and {', '.join(others)} on the test clips"


def _notes(runs: Sequence[RunNumbers], *, comparable: bool) -> Iterable[str]:
    if not comparable:
        return
    protocols = list(dict.fromkeys(own.protocol or "" for own in runs))
    if len(protocols) > 1:
        yield f"the protocols differ ({', '.join(protocols)}), so a small difference means nothing"
    ordered = sorted(runs, key=lambda own: -(own.value or 0.0))
    best, *others = ordered
    if best.interval and all(other.interval and best.interval[0] > other.interval[1] for other in others):
        yield f"{best.run} is better: its interval lies above all others"
    else:
        yield "the intervals overlap, so these clips do not show which run is better"
