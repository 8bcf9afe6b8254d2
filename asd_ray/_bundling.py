"""From a run to a bundle: the states that the search kept, those that are trained again, and the ensemble."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_ray._progress import progress_bar
from asd_ray._terminal import typed
from asd_ray.ensembling import Ensemble, ensemble_file, scores_of
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.states import States, scores_digest

if TYPE_CHECKING:
    from asd_ray.deploy.calibration import Calibration
    from asd_ray.deploy.writing import LearnedState
    from asd_ray.tuning.data import DataSource
    from asd_ray.tuning.restoring import Restored

KEPT = "kept by the search"


@dataclass(frozen=True)
class Written:
    """A bundle that was written."""

    folder: Path
    notes: tuple[str, ...]  # what its user should know
    trials: int
    trained_again: int


def ensemble_of(ledger: Ledger, machine: str, name: str) -> Ensemble:
    """The stored ensemble of a recipe, or the final one; AsdRayError with the command that makes it."""
    files = ensemble_file.stored(ledger, machine)
    stored = files.ensembles.get(machine, {})
    if name in stored:
        return stored[name]
    if broken := files.unreadable.get(machine, {}).get(name):
        raise AsdRayError(broken)
    ledger.check_known(machine, None)
    if not stored:
        command = typed("asd-ray", "ensemble", machine, "--run", ledger.layout.root)
        raise AsdRayError(f"{machine}: no ensemble is chosen yet; run first: {command}")
    raise AsdRayError(f"{machine}: no ensemble {name!r}; stored: {', '.join(sorted(stored))}")


def write_bundle(
    ledger: Ledger,
    ensemble: Ensemble,
    out: str | Path,
    data: Callable[[], DataSource] | None = None,
    *,
    refit: bool = False,
    serial: bool = False,
    address: str = "local",
    families: Sequence[type] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> Written:
    """Write the bundle of a stored ensemble. Trials without a state are trained again.

    That needs the dataset: `data` is called only then.
    """
    from asd_ray.deploy import bundle_file, writing

    writing.check_bundled(ensemble)
    bundle_file.checked_target(out)
    records = _records(ledger, ensemble)
    states = {} if refit else _kept(ledger, records)
    missing = [record for trial, record in records.items() if trial not in states]
    notes: list[str] = []
    restored: dict[str, Restored] = {}
    if missing:
        if data is None:
            raise AsdRayError(_needs_data(ensemble, missing, refit))
        restored = _trained_again(ledger, missing, data, refit, serial, address, families, progress)
        states |= {trial: _learned(one, refit) for trial, one in restored.items()}
        notes = [f"{one.record.name}: {_learned(one, refit).origin}" for one in restored.values() if not one.same]
    changed = {trial for trial, one in restored.items() if not one.same}
    calibration = _calibration(ledger, ensemble, records, restored if changed else {})
    if changed:
        notes.append("its units and its threshold were computed anew from the new scores of normal clips")
    folder = writing.write_bundle(out, ensemble, calibration, states, refit=refit)
    return Written(folder, tuple(notes), len(states), len(restored))


def members_without_state(ledger: Ledger, ensemble: Ensemble) -> list[str]:
    """Names of the members' trials whose states the search did not keep."""
    states, kept = States(ledger), dict[str, Container[str]]()
    missing = []
    for trial, record in _records(ledger, ensemble).items():
        if record.family not in kept:
            kept[record.family] = states.of_family(record.family)
        if trial not in kept[record.family]:
            missing.append(record.name)
    return missing


def _records(ledger: Ledger, ensemble: Ensemble) -> dict[str, TrialRecord]:
    """Trial -> record, of every member."""
    stored = {record.trial: record for record in ledger.records(ensemble.machine)}
    for member in ensemble.members:
        if member.trial not in stored:
            raise AsdRayError(
                f"{ensemble.machine}: the member {member.name} is not in the ledger any more; choose the ensemble again"
            )
    return {member.trial: stored[member.trial] for member in ensemble.members}


def _kept(ledger: Ledger, records: dict[str, TrialRecord]) -> dict[str, LearnedState]:
    """The states that the search kept, if they are those of the stored scores.

    A trial that ran twice, because a worker was thought to be lost, may have the scores of one run and the state of the
    other.
    """
    from asd_ray.deploy.writing import LearnedState
    from asd_ray.detectors.state_file import from_bytes

    states, kept = States(ledger), {}
    for trial, record in records.items():
        content = states.read(record.family, trial)
        if content is not None:
            _, about = from_bytes(content, states.layout.url(states.layout.state_file(record.family, trial)))
            digest = about.get("scores", {}).get(record.machine)
            if digest == scores_digest(ledger.scores(record)):
                kept[trial] = LearnedState(content, KEPT)
    return kept


def _needs_data(ensemble: Ensemble, missing: Sequence[TrialRecord], refit: bool) -> str:
    names = ", ".join(record.name for record in missing)
    why = "--refit-all trains every member anew" if refit else f"the search kept no state of {names}"
    return f"{ensemble.machine}: {why}, which needs the clips of the search; name them: --data FOLDER" + (
        "" if refit else " (a search with --keep-states all keeps every state)"
    )


def _trained_again(
    ledger: Ledger,
    missing: Sequence[TrialRecord],
    data: Callable[[], DataSource],
    refit: bool,
    serial: bool,
    address: str,
    families: Sequence[type],
    progress: Callable[[str], None],
) -> dict[str, Restored]:
    from asd_ray.tuning.restoring import restore

    source = data()
    machines = sorted({machine for record in missing for machine in record.machines})
    source.table = source.table.of_machines(machines)
    with progress_bar("decoding") as shown:
        bank = source.open(source.table, shown)
    source.table = bank.table  # without the clips that are left out
    source.use(bank)
    return restore(
        ledger,
        missing,
        source,
        families=families,
        refit=refit,
        serial=serial,
        address=address,
        progress=lambda record: progress(f"trained again: {record.name}"),
    )


def _learned(restored: Restored, refit: bool) -> LearnedState:
    from asd_ray.deploy.writing import LearnedState

    if refit:
        origin = "trained anew on all normal clips"
    elif restored.same:
        origin = f"trained again, with the scores of the search (they differ by {restored.difference:.1e} deviations)"
    else:
        origin = (
            f"trained again, and its scores differ from those of the search by up to {restored.difference:.3g} "
            "deviations of normal scores: another computer, device or version"
        )
    return LearnedState(restored.state, origin)


def _calibration(
    ledger: Ledger, ensemble: Ensemble, records: dict[str, TrialRecord], changed: dict[str, Restored]
) -> Calibration:
    """The ensemble's own; learned again where a member that was trained again gives other scores."""
    from asd_ray.deploy.calibration import Calibration

    scores = scores_of(ledger, ensemble)
    split = ensemble.recipe.by
    normal = scores[scores["split"] == split]
    if not changed:
        return Calibration.of_ensemble(ensemble, normal)
    clips = normal[["clip", "id", "domain"]].reset_index(drop=True)
    rows = []
    for member in ensemble.members:
        trial = member.trial
        table = changed[trial].scores if trial in changed else ledger.scores(records[trial], [split])
        own = table[(table["split"] == split) & (table["variant"] == member.variant)].set_index("clip")["score"]
        rows.append(own.loc[clips["clip"]].to_numpy(np.float64))
    return Calibration.of_scores(ensemble, np.stack(rows), clips)
