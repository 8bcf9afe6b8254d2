"""What a trial is worth: the harmonic mean of its year's AUC and pAUC cells on the labelled test clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from asd_ray.clips.table import ANOMALY, NORMAL
from asd_ray.detectors import Scores
from asd_ray.errors import AsdRayError
from asd_ray.metrics import cells_batch, hmean

PROTOCOL = "oracle"  # labels of the very clips that are reported on choose parameters, variant and early stopping
NEWEST = 2025  # the last year whose cells are known


@dataclass(frozen=True)
class Verdict:
    """The best variant of a trial, its objective and the cells that it is made of."""

    variant: str
    objective: float
    parts: dict[str, float]


class Judge:
    """Judges the scores of one machine's test clips, given in the order of `test`."""

    def __init__(self, machine: str, test: pd.DataFrame, year: int | None) -> None:
        known = test["label"].isin((NORMAL, ANOMALY))
        labelled = test[known]
        self.year, self.notes = _year_for(machine, labelled, year)
        usable = [each for each, rows in labelled.groupby("id") if _has_cells(rows, self.year)]
        self.rows = np.flatnonzero((known & test["id"].isin(usable)).to_numpy())
        if not len(self.rows):
            raise AsdRayError(
                f"{machine}: no id has normal and anomalous test clips, so trials cannot be told apart; see: "
                "asd-ray data check FOLDER"
            )
        left_out = sorted(set(test["id"]) - set(usable))
        if left_out:
            self.notes.append(f"{machine}: id {', '.join(left_out)} does not count: it lacks a label or a domain")
        self._clips = test.iloc[self.rows].reset_index(drop=True)

    def __call__(self, scores: Scores) -> Verdict:
        variants = sorted(scores)
        stacked = np.stack([np.asarray(scores[name], np.float64)[self.rows] for name in variants])
        names, cells = cells_batch(self._clips, stacked, self.year)
        values = np.asarray(hmean(cells, axis=1))
        best = int(np.argmax(values))
        parts = dict(zip(names, cells[best].tolist(), strict=True))
        return Verdict(variants[best], float(values[best]), parts)

    @property
    def cells(self) -> str:
        return "AUC and pAUC of each id" if self.year is None else f"the AUC and pAUC cells of DCASE {self.year}"


def _year_for(machine: str, test: pd.DataFrame, year: int | None) -> tuple[int | None, list[str]]:
    if year is None or year <= 2020:
        return year, []
    chosen = min(year, NEWEST)
    notes = [] if chosen == year else [f"{machine}: the score of {year} is not known yet, {chosen}'s is used"]
    if any(_has_cells(rows, chosen) for _, rows in test.groupby("id")):
        return chosen, notes
    return None, [f"{machine}: its labelled test clips do not fill {year}'s cells; AUC and pAUC of each id are used"]


def _has_cells(rows: pd.DataFrame, year: int | None) -> bool:
    pairs = set(zip(rows["label"], rows["domain"], strict=True))
    labels = {label for label, _ in pairs}
    if year is None or year <= 2020:
        return {NORMAL, ANOMALY} <= labels
    if not {(NORMAL, "source"), (NORMAL, "target")} <= pairs or {d for _, d in pairs} > {"source", "target"}:
        return False
    return {(ANOMALY, "source"), (ANOMALY, "target")} <= pairs if year == 2021 else ANOMALY in labels
