"""The trials of a study in the ledger: one record per trial, also where a trial learned from several machines."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.record import STATUSES
from asd_ray.tuning.spec import group_name


def joint_record(records: Sequence[TrialRecord]) -> TrialRecord:
    """One record for a trial of several machines: the worst status; where all are complete, the mean objective.

    Machines differ in status where the file of one was lost and the trial ended differently when it ran again.
    """
    if len(records) == 1:
        return records[0]
    worst = max(records, key=lambda record: STATUSES.index(record.status))
    objectives = [record.objective for record in records if record.objective is not None]
    return replace(
        worst,
        machine=group_name([record.machine for record in records]),
        objective=statistics.fmean(objectives) if len(objectives) == len(records) else None,
        objective_parts={f"{r.machine}/{cell}": value for r in records for cell, value in r.objective_parts.items()},
        variant=", ".join(dict.fromkeys(record.variant for record in records if record.variant)),
    )


def whole_and_partial(
    records: Iterable[TrialRecord], machines: Sequence[str], family: str
) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """A family's trials over exactly these machines: those stored for all of them, and those that lack a file."""
    of_trial: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.source == "search" and record.family == family and set(record.machines) == set(machines):
            of_trial.setdefault(record.trial, []).append(record)
    whole = [joint_record(group) for group in of_trial.values() if len(group) == len(machines)]
    return whole, [group[0] for group in of_trial.values() if len(group) < len(machines)]


def find_trial(ledger: Ledger, machines: Sequence[str], family: str, trial: str) -> TrialRecord | None:
    """A stored trial, as a study would read it now; None where it is not stored for each of the machines."""
    records = [record for machine in machines for record in ledger.records(machine, family)]
    whole, _ = whole_and_partial(records, machines, family)
    return next((record for record in whole if record.trial == trial), None)
