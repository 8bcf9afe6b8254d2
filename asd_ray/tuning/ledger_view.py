"""What the ledger holds of a study: one record a trial, be it of one machine or of several together."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace

from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.record import STATUSES
from asd_ray.tuning.spec import group_name


def joint_record(records: Sequence[TrialRecord]) -> TrialRecord:
    """What a study is told of a trial of several machines: the worst status, and of a complete one the mean objective.

    Machines differ in status where one's file was lost and the trial ended otherwise when it ran again.
    """
    if len(records) == 1:
        return records[0]
    worst = max(records, key=lambda record: STATUSES.index(record.status))
    objectives = [record.objective for record in records if record.objective is not None]
    return replace(
        worst,
        machine=group_name([record.machine for record in records]),
        objective=statistics.fmean(objectives) if len(objectives) == len(records) else None,
        objective_parts={f"{each.machine}/{cell}": v for each in records for cell, v in each.objective_parts.items()},
        variant=", ".join(dict.fromkeys(each.variant for each in records if each.variant)),
    )


def whole_and_partial(
    records: Iterable[TrialRecord], machines: Sequence[str], family: str
) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """A family's trials over exactly these machines: those stored for each of them, and those that lack a file."""
    of_trial: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.source == "search" and record.family == family and set(record.machines) == set(machines):
            of_trial.setdefault(record.trial, []).append(record)
    whole = [joint_record(each) for each in of_trial.values() if len(each) == len(machines)]
    return whole, [each[0] for each in of_trial.values() if len(each) < len(machines)]


def find_trial(ledger: Ledger, machines: Sequence[str], family: str, trial: str) -> TrialRecord | None:
    """The trial as a study that is rebuilt now would see it; None where it is not stored for each machine."""
    records = [record for machine in machines for record in ledger.records(machine, family)]
    whole, _ = whole_and_partial(records, machines, family)
    return next((record for record in whole if record.trial == trial), None)
