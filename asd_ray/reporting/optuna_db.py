"""The ledger's searches as Optuna studies in one SQLite file, which ``optuna-dashboard sqlite:///FILE`` opens.

The ledger stays the truth: the file is made anew each time, and no search reads it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import runpy
import sqlite3
import uuid
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asd_ray._shipped import shipped
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:  # optuna is imported where it is used: other reports start without it
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from asd_ray.ledger import Ledger, TrialRecord

Distributions = dict[str, "BaseDistribution"]
MARK = "asd_ray_run"  # the attribute by which a study is known as ours
ABOUT = "harmonic mean of the AUC and pAUC cells of the labelled test clips, by the best variant: protocol oracle"
_TOLD = ("trial", "name", "variant", "protocol", "seed", "epochs", "seconds")


class Exported(NamedTuple):
    path: Path
    studies: int
    trials: int
    notes: list[str]


def write_optuna_db(ledger: Ledger, path: str | Path) -> Exported:
    """One study for each machine and family, with every trial as it ended; the file is whole or not there."""
    target = _writable(path)
    studies: dict[tuple[str, str], list[TrialRecord]] = {}
    notes = []
    for record in ledger.records():
        if record.status != "complete" or record.objective is not None:
            studies.setdefault((record.machine, record.family), []).append(record)
    left_out = len(ledger.records()) - sum(map(len, studies.values()))
    if left_out:
        notes.append(f"trials without an objective are left out (imported systems, unlabelled test clips): {left_out}")
    if not studies:
        raise AsdRayError(
            f"{ledger.layout.root}: no trial of a search has an objective, so there is no study to write; run: "
            "asd-ray search"
        )
    aside = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(aside, studies, ledger.layout.root)
        os.replace(aside, target)
    except OSError as error:
        raise AsdRayError(
            f"{target}: cannot be written ({error.strerror or error}); free some space, or name another file"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return Exported(target, len(studies), sum(map(len, studies.values())), notes)


def _writable(path: str | Path) -> Path:
    """`path`, unless it holds something that is not ours to replace."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise AsdRayError(f"{path}: give the path of a file on a local disk, such as studies.db, without sqlite:///")
    target = Path(path).expanduser().resolve()
    if not target.exists():
        return target
    ours = "SELECT study_id FROM study_user_attributes WHERE key = ?"
    query = f"SELECT COUNT(*) FROM studies WHERE study_id NOT IN ({ours})"
    try:
        with contextlib.closing(sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True)) as stored:
            foreign = int(stored.execute(query, (MARK,)).fetchone()[0])
    except sqlite3.Error as error:
        raise AsdRayError(f"{target} exists and is no study file ({error}); name another file, or remove it") from error
    if foreign:
        raise AsdRayError(
            f"{target} holds studies that are not of a ledger ({foreign}) and would be lost; name another file"
        )
    return target


def _write(path: Path, studies: Mapping[tuple[str, str], Sequence[TrialRecord]], run: str) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"creator": lambda: _hasty(path)})
    try:
        for (machine, family), records in studies.items():
            study = optuna.create_study(storage=storage, study_name=f"{machine}-{family}", direction="maximize")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(["hmean of AUC and pAUC (oracle)"])
            for name, value in ((MARK, run), ("objective", ABOUT), ("dataset", records[0].dataset)):
                study.set_user_attr(name, value)
            study.add_trials(_trials(records, _space(family)))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _hasty(path: Path) -> sqlite3.Connection:
    """The file is renamed into place once it is whole, so no single step needs to survive a power cut."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
    return connection


def _space(family: str) -> dict[str, Any] | None:
    path = shipped("search_spaces") / f"{family}.py"
    return runpy.run_path(str(path)) if path.is_file() else None


def _trials(records: Sequence[TrialRecord], space: Mapping[str, Any] | None) -> list[FrozenTrial]:
    drawn = [_drawn(record.params, space) if space else {} for record in records]
    names = {name for record in records for name in record.params}
    varied = [name for name in names if len({repr(record.params.get(name)) for record in records}) > 1]
    chosen = [list(own) or [n for n in record.params if n in varied or not varied]
              for record, own in zip(records, drawn, strict=True)]  # fmt: skip
    distributions = {
        name: _distribution(
            [record.params[name] for record, own in zip(records, chosen, strict=True) if name in own],
            next((own[name] for own in drawn if name in own), None),
        )
        for name in dict.fromkeys(name for own in chosen for name in own)
    }
    return [
        _trial(record, {name: distributions[name] for name in own}) for record, own in zip(records, chosen, strict=True)
    ]


def _drawn(params: Mapping[str, Any], space: Mapping[str, Any]) -> Distributions:
    """What the shipped search space draws where it gives these parameters; those of another space: nothing."""
    from optuna.trial import FixedTrial

    fixed = FixedTrial(dict(params))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Optuna only warns of a value outside its range
            drawn = space["space"](fixed)
    except Exception:  # whatever a space raises for parameters that it did not give
        return {}
    return fixed.distributions if {**space["PAPER"], **drawn} == params else {}


def _distribution(values: Sequence[Any], shipped: BaseDistribution | None) -> BaseDistribution:
    """The shipped one where all values lie in it, else one that the values seen span: a study has one a parameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if shipped is not None and all(_lies_in(value, shipped) for value in values):
        return shipped
    if all(type(value) is int for value in values):
        return IntDistribution(min(values), max(values))
    if all(type(value) in (int, float) for value in values):
        return FloatDistribution(min(values), max(values))
    seen = {json.dumps(value): value for value in values}
    return CategoricalDistribution([seen[text] for text in sorted(seen)])


def _lies_in(value: Any, distribution: BaseDistribution) -> bool:
    from optuna.trial import create_trial

    try:
        create_trial(value=0.0, params={"it": value}, distributions={"it": distribution})
    except (ValueError, TypeError):
        return False
    return True


def _trial(record: TrialRecord, distributions: Distributions) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    stored = record.to_dict()
    told = {name: stored[name] for name in _TOLD if stored[name] not in (None, "")}
    told |= {name: stored[name] for name in ("error", "objective_parts") if stored[name]}
    told |= {"paper": True} if record.extra.get("paper") else {}
    told |= {"fixed": fixed} if (fixed := {n: v for n, v in stored["params"].items() if n not in distributions}) else {}
    made = create_trial(
        state=states[record.status],
        value=_value(record),
        params={name: record.params[name] for name in distributions},
        distributions=distributions,
        intermediate_values=record.intermediate,
        user_attrs=told,
    )
    ended = datetime.fromisoformat(record.created).astimezone().replace(tzinfo=None)  # Optuna's times are local
    made.datetime_complete, made.datetime_start = ended, ended - timedelta(seconds=record.seconds or 0)
    return made


def _value(record: TrialRecord) -> float | None:
    """Of a pruned trial its last intermediate value, as Optuna itself keeps it."""
    if record.status == "complete":
        return record.objective
    reported = [value for _, value in sorted(record.intermediate.items()) if math.isfinite(value)]
    return reported[-1] if record.status == "pruned" and reported else None
