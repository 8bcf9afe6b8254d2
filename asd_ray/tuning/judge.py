"""The objective of a trial: by the labels of test clips, or without labels by faults injected into normal clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.detectors import Scores
from asd_ray.ledger.record import LABELS, NORMAL_ONLY
from asd_ray.metrics import cells_batch, evaluable_clips, hmean
from asd_ray.metrics.injected import fault_values

ORACLE, LABEL_FREE = "oracle", "label_free"
PROTOCOLS = {LABELS: ORACLE, NORMAL_ONLY: LABEL_FREE}  # how each objective uses labels; oracle numbers are optimistic


@dataclass(frozen=True)
class Verdict:
    """The best variant of a trial, its objective and the parts of it."""

    variant: str
    objective: float
    parts: dict[str, float]


class Judge(Protocol):
    """Judges the scores of one machine."""

    splits: tuple[str, ...]  # it needs the scores of these
    notes: list[str]
    phrase: str  # what the objective is, for people

    def __call__(self, scores: Mapping[str, Scores]) -> Verdict:
        """`scores` are by split; each has the same variants."""


class LabelJudge:
    """The harmonic mean of the AUC and pAUC cells of the year, on the labelled test clips.

    The test labels choose parameters, variants and early stopping, so the numbers are optimistic.
    """

    splits: tuple[str, ...] = ("test",)

    def __init__(self, machine: str, test: pd.DataFrame, year: int | None) -> None:
        clips = evaluable_clips(machine, test, year)
        self.rows, self.year, self.notes = clips.rows, clips.year, clips.notes
        self.phrase = f"harmonic mean of {clips.cells} on the labelled test clips"
        self._clips = test.iloc[self.rows].reset_index(drop=True)

    def __call__(self, scores: Mapping[str, Scores]) -> Verdict:
        variants, stacked = _stacked(scores["test"])
        names, cells = cells_batch(self._clips, stacked[:, self.rows], self.year)
        values = np.asarray(hmean(cells, axis=1))
        best = int(np.argmax(values))
        parts = dict(zip(names, cells[best].tolist(), strict=True))
        return Verdict(variants[best], float(values[best]), parts)


class FaultJudge:
    """How well held-out normal clips are told from the same clips with an injected fault. No label is read."""

    splits: tuple[str, ...] = ("held_out", "fault")
    phrase = (
        "median over kinds of injected faults of the harmonic mean of AUC and pAUC, between held-out normal clips and "
        "such clips with a fault"
    )

    def __init__(self, held_out: pd.DataFrame, faults: pd.DataFrame) -> None:
        self._held_out, self._faults = held_out[["clip", "id"]], faults[["clip", "id"]]
        self.notes: list[str] = []

    def __call__(self, scores: Mapping[str, Scores]) -> Verdict:
        variants, normal = _stacked(scores["held_out"])
        _, faulty = _stacked(scores["fault"])
        values = fault_values(normal, self._held_out, faulty, self._faults)
        best = int(np.argmax(values))
        return Verdict(variants[best], float(values[best]), {})


def _stacked(scores: Scores) -> tuple[Sequence[str], npt.NDArray[np.float64]]:
    """The variants, and their scores [variants, clips]."""
    variants = sorted(scores)
    return variants, np.stack([np.asarray(scores[name], np.float64) for name in variants])
