"""The unit of a trial's objective: trials are compared by labels or by injected faults, and the two are never mixed."""

from __future__ import annotations

from collections.abc import Iterable

from asd_ray.ledger.record import LABELS, NORMAL_ONLY, OBJECTIVES, TrialRecord

UNITS = {LABELS: "hmean", NORMAL_ONLY: "faults"}  # in the column of a table
MEANING = {
    LABELS: "harmonic mean of AUC and pAUC on the labelled test clips",
    NORMAL_ONLY: "value on injected faults, between 0 and 1; no label was read",
}


def objective_of(record: TrialRecord) -> str:
    """What the trials of the record's study are compared by: `LABELS` or `NORMAL_ONLY`. Imported ones have labels."""
    return record.settings.objective if record.settings else LABELS


def unit_of(record: TrialRecord) -> str:
    return UNITS.get(objective_of(record), objective_of(record))


def with_unit(value: float, variant: str, objective: str) -> str:
    """A value for a table: ``0.8123 mse``, or ``0.8123 mse (faults)`` if injected faults gave it."""
    text = f"{value:.4f} {variant}".rstrip()
    return text if objective == LABELS else f"{text} ({UNITS.get(objective, objective)})"


def by_objective(records: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """The records of each unit, those by labels first."""
    groups: dict[str, list[TrialRecord]] = {objective: [] for objective in OBJECTIVES}
    for record in records:
        groups.setdefault(objective_of(record), []).append(record)
    return {objective: own for objective, own in groups.items() if own}
