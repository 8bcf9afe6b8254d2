"""Comparison of an ensemble's members: the agreement of their orders, and the clips that they get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
WORST = 10  # clips that are shown


def agreement(scores: Floats, clips: pd.DataFrame) -> list[list[float | None]]:
    """Spearman's rank correlation of members' scores, the mean over ids; None if no id has one."""
    of_ids = [
        pd.DataFrame(scores[:, rows].T).corr(method="spearman").to_numpy()
        for rows in clips.groupby("id").indices.values()
    ]
    known = np.isfinite(of_ids)  # an id with one clip has no order, and is left out of the mean
    mean = np.where(known, of_ids, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    return [[None if np.isnan(value) else float(value) for value in row] for row in mean]


def extremes(table: Sequence[Sequence[float | None]]) -> dict[str, tuple[int, int, float]]:
    """The two members that agree most, and the two that agree least, counted from 1; {} if there is one pair only."""
    pairs = [
        (value, one + 1, other + 1)
        for one, row in enumerate(table)
        for other, value in enumerate(row)
        if one < other and value is not None
    ]
    if len(pairs) < 2:
        return {}
    return {name: (one, other, value) for name, (value, one, other) in (("most", max(pairs)), ("least", min(pairs)))}


def worst_clips(
    clips: pd.DataFrame, together: Floats, limit: float, scores: Floats, limits: Floats
) -> dict[str, list[dict[str, Any]]]:
    """The anomalies most often missed and the normal clips with most false alarms, from labelled `clips`.

    A member's row of `scores` [members, clips] has its own threshold in `limits`; the ensemble's scores `together` have
    the threshold `limit`. Clips that most members get wrong come first, then those with the ensemble's largest error.
    """
    alarms = scores > limits[:, None]
    worst = {}
    for kind, label in (("missed", "anomaly"), ("false_alarms", "normal")):
        rows = np.flatnonzero((clips["label"] == label).to_numpy())
        wrong = (alarms if label == "normal" else ~alarms)[:, rows].sum(axis=0)
        error = (together[rows] - limit) * (1 if label == "normal" else -1)
        order = np.lexsort((-error, -wrong))
        worst[kind] = [
            {
                "clip": str(clips["clip"].iat[rows[at]]),
                "id": str(clips["id"].iat[rows[at]]),
                "domain": str(clips["domain"].iat[rows[at]]),
                "score": float(together[rows[at]]),
                "members": int(wrong[at]),
                "ensemble": bool(together[rows[at]] > limit) == (label == "normal"),
            }
            for at in order[:WORST]
            if wrong[at] or (together[rows[at]] > limit) == (label == "normal")
        ]
    return worst
