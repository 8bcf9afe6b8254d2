"""Members, and ids, whose AUC is below chance: normal clips score higher than anomalies."""

from __future__ import annotations

from collections.abc import Iterator

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer, kind_of
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust_warning import TrustWarning

NAME = "below_chance"
CHANCE = 0.5
SHOWN = 3  # names in a sentence


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    headline = ensemble.headline
    if headline is None:
        return
    judged = members.judged
    scorer = CellScorer(members.clips.iloc[judged.rows].reset_index(drop=True), judged.year, "auc")
    values = scorer(members.scores[:, judged.rows])
    below = [row for row, value in enumerate(values.tolist()) if value < CHANCE]
    if below:
        names = _list([f"{members.label(row)} (AUC {values[row]:.3f})" for row in below])
        yield TrustWarning(
            NAME,
            f"Below chance: {names}. Alone, such a member calls normal clips more anomalous than anomalies.",
            {"members": len(below), "lowest": float(values.min())},
        )
    cells = {name: value for name, value in headline.cells.items() if kind_of(name) == "auc" and value < CHANCE}
    if cells:
        yield TrustWarning(
            NAME,
            f"The ensemble is below chance for {_list([f'{name} ({value:.3f})' for name, value in cells.items()])} "
            f"({ensemble.headline_protocol}): do not use it there.",
            {"cells": len(cells), "lowest": min(cells.values())},
        )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
