"""A stratified bootstrap: how much a value, or a difference of values, depends on the clips that were recorded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.cell_scorer import CellScorer, strata_of

Floats = npt.NDArray[np.float64]
DRAWS = 1000
LEVEL = 0.95


def resampled(scores: npt.ArrayLike, scorer: CellScorer, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Values of `scores` [repeats, clips], one per draw: clips are drawn again within each id, domain and label.

    Each value is the mean over repeats. The same seed draws the same clips, so values of two ensembles are paired.
    Clips stay in their stratum, so every draw has the scorer's labels and all draws are scored as one batch.
    """
    rows = np.asarray(scores, np.float64)
    at = draws_of(scorer, draws, seed)
    return np.asarray(np.mean([scorer(row[at]) for row in rows], axis=0))


def draws_of(scorer: CellScorer, draws: int, seed: int) -> npt.NDArray[np.intp]:
    """Positions of the drawn clips, [draws, clips]."""
    draw, clips = np.random.default_rng(seed), scorer.clips
    at = np.empty((draws, len(clips)), np.intp)
    for rows in strata_of(clips).values():
        at[:, rows] = rows[draw.integers(0, len(rows), (draws, len(rows)))]
    return at


def interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The percentiles between which `level` of the draws lie."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
