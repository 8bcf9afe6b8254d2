"""Which of a machine's test clips can be judged, and by which year's cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError

KNOWN = ("normal", "anomaly")
NEWEST = 2025  # the last year whose cells are known


@dataclass(frozen=True)
class Judged:
    """`rows` of the clips that count, the year whose cells they fill (None: AUC and pAUC of each id), and notes."""

    rows: npt.NDArray[np.intp]
    year: int | None
    notes: list[str]

    @property
    def cells(self) -> str:
        return "AUC and pAUC of each id" if self.year is None else f"the AUC and pAUC cells of DCASE {self.year}"


def judged(machine: str, test: pd.DataFrame, year: int | None) -> Judged:
    """`test` has the columns id, domain and label, a row a clip of `machine`."""
    known = test["label"].isin(KNOWN)
    labelled = test[known]
    chosen, notes = _year_for(machine, labelled, year)
    usable = [each for each, rows in labelled.groupby("id") if _has_cells(rows, chosen)]
    rows = np.flatnonzero((known & test["id"].isin(usable)).to_numpy())
    if not len(rows):
        raise AsdRayError(
            f"{machine}: no id has normal and anomalous test clips, so nothing can be told apart; see: "
            "asd-ray data check FOLDER"
        )
    left_out = sorted(set(test["id"]) - set(usable))
    if left_out:
        notes.append(f"{machine}: id {', '.join(left_out)} does not count: it lacks a label or a domain")
    return Judged(rows, chosen, notes)


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
    normal, anomaly = KNOWN
    labels = {label for label, _ in pairs}
    if year is None or year <= 2020:
        return {normal, anomaly} <= labels
    if not {(normal, "source"), (normal, "target")} <= pairs or {d for _, d in pairs} > {"source", "target"}:
        return False
    return {(anomaly, "source"), (anomaly, "target")} <= pairs if year == 2021 else anomaly in labels
