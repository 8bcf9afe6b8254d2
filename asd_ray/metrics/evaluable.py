"""Which of a machine's test clips can be evaluated, and by which year's cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics.editions import PER_ID, CellRule, latest_scored, scored_edition

NORMAL, ANOMALY = "normal", "anomaly"


@dataclass(frozen=True)
class EvaluableClips:
    """`rows` of the clips that count, the year whose cells they fill (None: AUC and pAUC of each id), and notes."""

    rows: npt.NDArray[np.intp]
    year: int | None
    notes: list[str]

    @property
    def ranked_by(self) -> list[str]:
        """The columns whose values name the clips that are ranked together."""
        by_domain = self.year is not None and scored_edition(self.year).cells.by_domain
        return ["id", "domain"] if by_domain else ["id"]

    @property
    def cells(self) -> str:
        return "AUC and pAUC of each id" if self.year is None else f"the AUC and pAUC cells of DCASE {self.year}"


def evaluable_clips(machine: str, test: pd.DataFrame, year: int | None) -> EvaluableClips:
    """The clips of `machine` that have a label and whose id fills the cells of `year`.

    `test` has one row per test clip, with the columns id, domain and label. If no id fills the year's cells, AUC and
    pAUC of each id are used instead, and a note reports it.
    """
    is_labelled = test["label"].isin((NORMAL, ANOMALY))
    labelled = test[is_labelled]
    of_year, rule, notes = _rule_for(machine, labelled, year)
    usable = [id for id, rows in labelled.groupby("id") if _fills(rows, rule)]
    rows = np.flatnonzero((is_labelled & test["id"].isin(usable)).to_numpy())
    if not len(rows):
        raise AsdRayError(
            f"{machine}: no id has normal and anomalous test clips, so no AUC can be computed; see: "
            "asd-ray data check FOLDER"
        )
    left_out = sorted(set(test["id"]) - set(usable))
    if left_out:
        notes.append(f"{machine}: id {', '.join(left_out)} does not count: it lacks a label or a domain")
    return EvaluableClips(rows, of_year, notes)


def can_evaluate(test: pd.DataFrame) -> bool:
    """Whether `evaluable_clips` finds clips: an id has normal and anomalous ones."""
    labelled = test[test["label"].isin((NORMAL, ANOMALY))]
    return any(_fills(rows, PER_ID) for _, rows in labelled.groupby("id"))


def _rule_for(machine: str, test: pd.DataFrame, year: int | None) -> tuple[int | None, CellRule, list[str]]:
    """The year, its rule and notes; year None where the rule is that of machines of no year."""
    if year is None:
        return None, PER_ID, []
    edition = latest_scored(year)
    if edition is None:
        return None, PER_ID, [f"{machine}: the score of {year} is not known, AUC and pAUC of each id are used"]
    notes = []
    if edition.year != year:
        notes.append(f"{machine}: the score of {year} is not known yet, {edition.year}'s is used")
    if any(_fills(rows, edition.cells) for _, rows in test.groupby("id")):
        return edition.year, edition.cells, notes
    why = f"its labelled test clips do not fill {year}'s cells; AUC and pAUC of each id are used"
    return None, PER_ID, [f"{machine}: {why}"]


def _fills(rows: pd.DataFrame, rule: CellRule) -> bool:
    """Whether each cell of the rule has normal and anomalous clips among the rows of one id."""
    pairs = set(zip(rows["label"], rows["domain"], strict=True))
    if rule.domains and {domain for _, domain in pairs} - set(rule.domains):
        return False
    for group in rule.groups:
        members = {(label, domain) for label, domain in pairs if group.domain in (None, domain)}
        normal_domains = {domain for label, domain in members if label == NORMAL}
        if ANOMALY not in {label for label, _ in members} or not normal_domains:
            return False
        if any(domain is not None and domain not in normal_domains for _, domain in group.aucs):
            return False
    return True
