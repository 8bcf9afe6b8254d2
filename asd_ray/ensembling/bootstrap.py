"""How much of a number, or of a difference, is the luck of which clips were recorded: a stratified bootstrap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.judge import Judge, strata_of

Floats = npt.NDArray[np.float64]
DRAWS = 1000
LEVEL = 0.95


def resampled(scores: npt.ArrayLike, judge: Judge, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Values of `scores`, [repeats, clips], with clips drawn again within each id, domain and label.

    The mean over repeats, one a draw; the same seed draws the same clips, so that values of two ensembles are paired.
    Clips stay in their stratum, so every draw has the judge's labels and all draws are judged as one batch.
    """
    given = np.asarray(scores, np.float64)
    at = draws_of(judge, draws, seed)
    return np.asarray(np.mean([judge(row[at]) for row in given], axis=0))


def draws_of(judge: Judge, draws: int, seed: int) -> npt.NDArray[np.intp]:
    """[draws, clips] positions."""
    draw, frame = np.random.default_rng(seed), judge.clips
    at = np.empty((draws, len(frame)), np.intp)
    for rows in strata_of(frame).values():
        at[:, rows] = rows[draw.integers(0, len(rows), (draws, len(rows)))]
    return at


def interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The percentiles between which `level` of the draws lie."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
