"""Find one trial among the records of a run, the best or that of a name, and the scores of one of its variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asd_ray.errors import AsdRayError, unknown
from asd_ray.ledger.record import OBJECTIVES, TrialRecord
from asd_ray.ledger.schema import SPLITS
from asd_ray.ledger.units import by_objective

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.ledger.store import Ledger


def best_trial(records: Sequence[TrialRecord], run: str, objective: str | None = None) -> TrialRecord:
    """The complete trial with the highest value of `objective`, which may be None where all have the same one."""
    if objective is not None and objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    complete = [record for record in records if record.status == "complete" and record.objective is not None]
    if not complete:
        raise AsdRayError(
            f"{run}: no complete trial with an objective; search first, or look at the statuses in run.trials()"
        )
    groups = by_objective(complete)
    if objective is None and len(groups) > 1:
        raise AsdRayError(
            f"{run}: some trials were compared by labels and some by injected faults, so none is the best of all; name "
            'a machine, or objective="labels" or "normal-only"'
        )
    if objective is not None and objective not in groups:
        raise AsdRayError(f"{run}: no complete trial was compared by the objective {objective}")
    return max(groups[objective or next(iter(groups))], key=lambda record: record.objective or 0.0)


def trial_named(records: Sequence[TrialRecord], run: str, name: str) -> TrialRecord:
    """The trial of a name such as fan-idnn-0003, or of a hash."""
    matches = [record for record in records if name in (record.name, record.trial)]
    if not matches:
        raise AsdRayError(f"{run}: no trial {name!r}; run.trials() lists all")
    if len(matches) > 1:
        names = ", ".join(f"{record.trial} of {record.machine}" for record in matches)
        raise AsdRayError(f"{run}: {name!r} may be any of {names}; give the hash and machine=…")
    return matches[0]


def scores_of_variant(ledger: Ledger, record: TrialRecord, variant: str, splits: Sequence[str]) -> pd.DataFrame:
    """The scores of a trial in these splits, of one variant; of all with ``"all"``, and for a trial without any."""
    for split in splits:
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
    scores = ledger.scores(record, splits)
    if variant in ("", "all"):
        return scores
    if variant not in set(scores["variant"]):
        known = ", ".join(sorted(set(scores["variant"])))
        raise AsdRayError(f"{record.name} has no variant {variant!r}; it has {known or 'no scores'}")
    return scores[scores["variant"] == variant].reset_index(drop=True)
