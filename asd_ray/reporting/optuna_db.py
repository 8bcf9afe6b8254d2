"""The ledger's searches as Optuna studies in one SQLite file, which ``optuna-dashboard sqlite:///FILE`` opens.

The ledger remains the only source: the file is written again each time, and no search reads it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.ledger.record import LABELS, NORMAL_ONLY
from asd_ray.ledger.units import UNITS, objective_of
from asd_ray.reporting.optuna_trials import as_trials
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import is_address, obstacle, why

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger, TrialRecord

CURE = "name another file with --optuna-db"
MARK = "asd_ray_run"  # the attribute that marks a study as ours
METRICS = {LABELS: "hmean of AUC and pAUC (oracle)", NORMAL_ONLY: "value on injected faults"}
ABOUT = {
    LABELS: "harmonic mean of the AUC and pAUC cells of the labelled test clips, by the best variant: protocol oracle",
    NORMAL_ONLY: "value on faults injected into held-out normal clips, by the best variant; no label was read",
}


class Exported(NamedTuple):
    path: Path
    studies: int
    trials: int
    notes: list[str]


def write_optuna_db(ledger: Ledger, path: str | Path) -> Exported:
    """One study for each machine, family and objective; the file is written completely or not at all."""
    refuse_own_folder(path, CURE)
    target = _writable(path)
    studies: dict[tuple[str, str, str], list[TrialRecord]] = {}
    notes = []
    for record in ledger.records():
        if record.status != "complete" or record.objective is not None:
            studies.setdefault((record.machine, record.family, objective_of(record)), []).append(record)
    left_out = len(ledger.records()) - sum(map(len, studies.values()))
    if left_out:
        notes.append(f"trials without an objective are left out (imported systems, unlabelled test clips): {left_out}")
    if not studies:
        raise AsdRayError(
            f"{ledger.layout.root}: no trial of a search has an objective, so there is no study to write; run: "
            + typed("asd-ray", "search", "--run", ledger.layout.root)
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(target) as aside:
            _write(aside, studies, ledger.layout.root)
    except OSError as error:
        raise AsdRayError(
            f"{target}: cannot be written ({obstacle(target) or why(error)}); free some space, or {CURE}"
        ) from error
    except _failures() as error:
        reason = obstacle(target) or _innermost(error)
        raise AsdRayError(f"{target}: cannot be written ({reason}); free some space, or {CURE}") from error
    return Exported(target, len(studies), sum(map(len, studies.values())), notes)


def _writable(path: str | Path) -> Path:
    """Resolve `path`. Raises an AsdRayError if its content must not be replaced."""
    if is_address(path):
        raise AsdRayError(f"{path}: give the path of a file on a local disk, such as studies.db, without sqlite:///")
    target = Path(os.path.realpath(Path(path).expanduser()))
    if not target.exists():
        return target
    if not target.is_file():
        raise AsdRayError(f"{target} is not a file, so it cannot be replaced by a file of studies; {CURE}")
    ours = "SELECT study_id FROM study_user_attributes WHERE key = ?"
    query = f"SELECT COUNT(*) FROM studies WHERE study_id NOT IN ({ours})"
    try:
        with contextlib.closing(sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True)) as stored:
            foreign = int(stored.execute(query, (MARK,)).fetchone()[0])
    except sqlite3.Error as error:
        raise AsdRayError(f"{target} exists and is not a study file ({error}); {CURE}") from error
    if foreign:
        raise AsdRayError(
            f"{target} holds studies that do not come from a ledger ({foreign}) and would be lost; {CURE}"
        )
    return target


def _write(path: Path, studies: Mapping[tuple[str, str, str], Sequence[TrialRecord]], run: str) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # the exception reports a failure, so the log need not
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"creator": lambda: _unsynced(path)})
    try:
        for (machine, family, objective), records in studies.items():
            name = f"{machine}-{family}" + ("" if objective == LABELS else f"-{UNITS[objective]}")
            study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([METRICS[objective]])
            for key, value in ((MARK, run), ("objective", ABOUT[objective]), ("dataset", records[0].dataset)):
                study.set_user_attr(key, value)
            study.add_trials(as_trials(records))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _failures() -> tuple[type[Exception], ...]:
    """The exceptions that carry SQLite's errors, such as a full disk."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return (StorageInternalError, SQLAlchemyError, sqlite3.Error)


def _innermost(error: BaseException) -> str:
    """SQLite's own message, such as `database or disk is full`, without the statement and its parameters."""
    while (cause := error.__cause__) is not None:
        error = cause
    return str(error).partition("\n")[0]


def _unsynced(path: Path) -> sqlite3.Connection:
    """A connection that does not sync each step to disk, because only the complete file is renamed into place."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
    return connection
