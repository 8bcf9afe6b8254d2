"""Find trials in a ledger, sort and count them, and summarise the scores of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.record import TrialRecord
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.units import by_objective


@dataclass(frozen=True)
class TrialCounts:
    """How many trials some records are, by status, and of how many machines and families."""

    trials: int
    by_status: Mapping[str, int]
    machines: int
    families: int


@dataclass(frozen=True)
class ScoreSummary:
    """The scores of one variant on one split."""

    split: str
    variant: str
    clips: int
    normal: int
    anomaly: int
    unknown: int
    lowest: float
    median: float
    highest: float


def sort_records(records: Sequence[TrialRecord], by: str) -> list[TrialRecord]:
    """In the order of the ledger, or best, slowest or newest first; records without the value come last.

    Objectives of different units cannot be compared, so those by labels come before those by injected faults.
    """
    if by == "number":
        return list(records)
    with_value = [record for record in records if getattr(record, by) is not None]
    without = [record for record in records if getattr(record, by) is None]
    ranked = sorted(with_value, key=lambda record: getattr(record, by), reverse=True)
    if by == "objective":
        ranked = [record for own in by_objective(ranked).values() for record in own]
    return ranked + without


def count_trials(records: Sequence[TrialRecord]) -> TrialCounts:
    return TrialCounts(
        trials=len(records),
        by_status=Counter(record.status for record in records),
        machines=len({record.machine for record in records}),
        families=len({record.family for record in records}),
    )


def find_trial(ledger: Ledger, text: str, machine: str | None) -> TrialRecord:
    """The trial with the name `text`, or the one whose hash begins with it. AsdRayError for none or several."""
    records = ledger.records(machine)
    matches = [record for record in records if record.name == text] or [
        record for record in records if record.trial.startswith(text)
    ]
    if not matches:
        command = typed("asd-ray", "ledger", "ls", ledger.layout.root)
        raise AsdRayError(f"no trial is named {text!r} and no hash begins with it; to list the trials: {command}")
    if len(matches) > 1:
        raise AsdRayError(f"{text!r} can be any of these; give more of the hash, or --machine:\n{listing(matches)}")
    return matches[0]


def score_summaries(ledger: Ledger, record: TrialRecord) -> list[ScoreSummary]:
    """One summary per split and variant; none for a trial without scores."""
    summaries = []
    for (split, variant), rows in ledger.scores(record).groupby(["split", "variant"], sort=True):
        labels, scores = rows["label"].value_counts(), rows["score"]
        summaries.append(
            ScoreSummary(
                split=str(split),
                variant=str(variant),
                clips=len(rows),
                normal=int(labels.get("normal", 0)),
                anomaly=int(labels.get("anomaly", 0)),
                unknown=int(labels.get("unknown", 0)),
                lowest=float(scores.min()),
                median=float(scores.median()),
                highest=float(scores.max()),
            )
        )
    return summaries
