"""Members, and ids, whose AUC is below chance: normal clips score higher than anomalies.

An AUC of few clips is often below chance by luck. So the advice not to use the ensemble for an id is given only where
random scores would hardly give so low an AUC: in less than 5 % of cases for any of the machine's AUCs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer, in_words, kind_of
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust._measured import counts_of_cells
from asd_ray.ensembling.trust_warning import TrustWarning

NAME = "below_chance"
CHANCE = 0.5
BY_LUCK = 0.05  # chance that random scores give so low an AUC in any cell
SHOWN = 3  # names in a sentence


def warnings(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    if ensemble.headline is None:
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
    yield from _of_cells(ensemble, members)


def _of_cells(ensemble: Ensemble, members: Candidates) -> Iterator[TrustWarning]:
    protocol, headline = ensemble.headline_protocol, ensemble.headline
    assert headline is not None
    below = {name: value for name, value in headline.cells.items() if kind_of(name) == "auc" and value < CHANCE}
    if not below:
        return
    counts = counts_of_cells(members, protocol)
    aucs = sum(kind_of(name) == "auc" for name in headline.cells)
    unsure = {name: value for name, value in below.items() if _may_be_luck(value, *counts[name], aucs)}
    if certain := {name: value for name, value in below.items() if name not in unsure}:
        yield TrustWarning(
            NAME,
            f"The ensemble is below chance ({protocol}): {_cells(certain)}. Do not use it there.",
            {"cells": len(certain), "lowest": min(certain.values())},
        )
    if unsure:
        normals, anomalies = min((counts[name] for name in unsure), key=sum)
        yield TrustWarning(
            NAME,
            f"The ensemble is below chance ({protocol}): {_cells(unsure)}. With as few as {normals} normal and "
            f"{anomalies} anomalous clips that may be luck: measure it there with more clips.",
            {"unsure": len(unsure), "lowest": min(unsure.values())},
        )


def _cells(values: Mapping[str, float]) -> str:
    return _list([f"{in_words(name)} ({value:.3f})" for name, value in values.items()])


def _may_be_luck(auc: float, normals: int, anomalies: int, aucs: int) -> bool:
    """Whether random scores may give so low an AUC in one of `aucs` cells, by the normal limit of Mann and Whitney."""
    deviation = math.sqrt((normals + anomalies + 1) / (12 * normals * anomalies))
    corrected = auc + 0.5 / (normals * anomalies)  # for continuity
    return NormalDist(CHANCE, deviation).cdf(corrected) * aucs >= BY_LUCK


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
