"""Runs side by side: the final ensembles of each machine, and whether their numbers can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from asd_ray.ensembling import Ensemble, TrustLevel, stored, trust_level
from asd_ray.ensembling._part import Part
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.ensemble_file import FINAL
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
    def of(cls, run: str, final: Ensemble, records: Sequence[TrialRecord]) -> Self:
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
            trust=trust_level(final),
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

    Only what the files hold is compared: nothing is chosen or measured again.
    """
    from asd_ray.ledger import Ledger

    ledgers = [(run if isinstance(run, Ledger) else Ledger(run)).require() for run in runs]
    names = tuple(ledger.layout.root for ledger in ledgers)
    if len(names) < 2 or len(set(names)) < len(names):
        raise AsdRayError(f"two different runs or more can be compared, but got: {', '.join(names) or 'none'}")
    finals: dict[str, dict[str, RunNumbers]] = {}
    not_read: list[str] = []
    for name, ledger in zip(names, ledgers, strict=True):
        files = stored(ledger)
        not_read += [why for own in files.unreadable.values() for file, why in own.items() if file == FINAL]
        for machine, ensembles in files.ensembles.items():
            if FINAL in ensembles:
                numbers = RunNumbers.of(name, ensembles[FINAL], ledger.records(machine))
                finals.setdefault(machine, {})[name] = numbers
    if not finals:
        why = f"; files that cannot be read:\n{listing(not_read)}" if not_read else ""
        raise AsdRayError(f"none of these runs has an ensemble; run: asd-ray ensemble --run {names[0]}{why}")
    machines = tuple(
        MachineComparison.of(machine, list(own.values()), [name for name in names if name not in own])
        for machine, own in sorted(finals.items(), key=lambda item: item[0].lower())
    )
    return RunComparison(datetime.now(UTC).isoformat(timespec="seconds"), names, machines, tuple(not_read))


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


def _notes(runs: Sequence[RunNumbers], *, comparable: bool) -> Iterable[str]:
    if not comparable:
        return
    protocols = list(dict.fromkeys(own.protocol or "" for own in runs))
    if len(protocols) > 1:
        yield f"the protocols differ ({', '.join(protocols)}), so a small difference means nothing"
    ordered = sorted(runs, key=lambda own: -(own.value or 0.0))
    best, second = ordered[0], ordered[1]
    if best.interval and second.interval and best.interval[0] > second.interval[1]:
        yield f"{best.run} is better: its interval lies above all others"
    else:
        yield "the intervals overlap, so these clips do not show which run is better"
