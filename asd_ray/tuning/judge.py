"""The objective of a trial: the harmonic mean of the AUC and pAUC cells of its year, on the labelled test clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from asd_ray.detectors import Scores
from asd_ray.metrics import cells_batch, evaluable_clips, hmean

PROTOCOL = "oracle"  # the test labels also choose parameters, variants and early stopping, so numbers are optimistic


@dataclass(frozen=True)
class Verdict:
    """The best variant of a trial, its objective and its cells."""

    variant: str
    objective: float
    parts: dict[str, float]


class Judge:
    """Judges the scores of one machine's test clips, which come in the order of `test`."""

    def __init__(self, machine: str, test: pd.DataFrame, year: int | None) -> None:
        clips = evaluable_clips(machine, test, year)
        self.rows, self.year, self.notes, self.cells = clips.rows, clips.year, clips.notes, clips.cells
        self._clips = test.iloc[self.rows].reset_index(drop=True)

    def __call__(self, scores: Scores) -> Verdict:
        variants = sorted(scores)
        stacked = np.stack([np.asarray(scores[name], np.float64)[self.rows] for name in variants])
        names, cells = cells_batch(self._clips, stacked, self.year)
        values = np.asarray(hmean(cells, axis=1))
        best = int(np.argmax(values))
        parts = dict(zip(names, cells[best].tolist(), strict=True))
        return Verdict(variants[best], float(values[best]), parts)
