"""This run's trials with the papers' settings, as rows beside published numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asd_ray.ledger import TrialRecord
from asd_ray.ledger.record import ORACLE
from asd_ray.papers import Measure

Board = Sequence[Mapping[str, Any]]  # the rows of a machine's leaderboard


@dataclass(frozen=True)
class _Training:
    """How a family was trained at its paper's setting. Trials that differ in it are not averaged."""

    family: str
    machines: int  # that one model learned from
    cap: int | None  # the epochs that --epochs-cap left, if the paper's setting has more
    by_labels: bool  # whether test labels chose the epoch

    @classmethod
    def of(cls, record: TrialRecord) -> _Training:
        settings = record.settings
        cap = settings.epochs_cap if settings else None
        is_capped = cap is not None and record.params.get("epochs", 0) > cap
        by_labels = bool(settings and settings.checkpoint == ORACLE)
        return cls(record.family, len(record.machines), cap if is_capped else None, by_labels)

    @property
    def words(self) -> str:
        epoch = "best epoch, chosen with test labels" if self.by_labels else "last epoch"
        cap = f", at most {self.cap} epochs (--epochs-cap)" if self.cap else ""
        return epoch + cap + (f", one model for {self.machines} machines" if self.machines > 1 else "")


def rows_of_papers(
    boards: Mapping[str, Board], records: Sequence[TrialRecord], measures: Sequence[Measure]
) -> list[dict[str, Any]]:
    """Two rows per family and way of training: by the score that its paper reports, and by its best score.

    `boards` are the leaderboards of the compared machines. Labels choose the best score of each machine, so it has a
    row only where the paper has no single score, or where it is another one. Several seeds are averaged.
    """
    known = {(record.machine, record.trial): record for record in records}
    trainings: dict[_Training, dict[str, list[Mapping[str, Any]]]] = {}
    for machine, board in boards.items():
        for row in board:
            record = known.get((machine, row["trial"]))
            if row["paper"] and row["cells"] and record is not None:
                trainings.setdefault(_Training.of(record), {}).setdefault(machine, []).append(row)
    found: list[dict[str, Any]] = []
    for training, of_machine in sorted(trainings.items(), key=lambda item: (item[0].family, item[0].machines)):
        found += _rows(training, of_machine, measures)
    return found


def _rows(
    training: _Training, of_machine: Mapping[str, Board], measures: Sequence[Measure]
) -> Iterator[dict[str, Any]]:
    own = {machine: [row for row in rows if row["paper_score"]] for machine, rows in of_machine.items()}
    own = {machine: rows for machine, rows in own.items() if rows}
    best = {machine: list(_best_of_each_trial(rows)) for machine, rows in of_machine.items()}
    differing = {machine: rows for machine, rows in best.items() if rows != own.get(machine)}
    for rows_of, score, labels in (
        (own, "setting and score of the paper", "labels only measure it"),
        (differing, "setting of the paper, best score", "score chosen with test labels"),
    ):
        if rows_of:
            yield {
                "system": f"this run, {training.family}, {score} ({_variants(rows_of)})",
                "protocol": f"single detector, {training.words}{_seeds(rows_of)}; {labels}",
                "own": True,
                "values": {machine: _means(rows, measures) for machine, rows in rows_of.items()},
            }


def _best_of_each_trial(rows: Board) -> Iterator[Mapping[str, Any]]:
    """In the order of the leaderboard, which has the best first."""
    seen = set()
    for row in rows:
        if row["trial"] not in seen:
            seen.add(row["trial"])
            yield row


def _variants(of_machine: Mapping[str, Board]) -> str:
    return ", ".join(sorted({row["variant"] for rows in of_machine.values() for row in rows}))


def _seeds(of_machine: Mapping[str, Board]) -> str:
    counts = sorted({len({row["seed"] for row in rows}) for rows in of_machine.values()})
    return "" if counts == [1] else f", mean of {' or '.join(map(str, counts))} seeds"


def _means(rows: Board, measures: Sequence[Measure]) -> list[float]:
    return [statistics.fmean(measure.value(row["cells"]) for row in rows) for measure in measures]
