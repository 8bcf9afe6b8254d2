"""A stratified bootstrap: how much a value, or a difference of values, depends on the clips that were recorded.

The interval of a value is `cautious_interval`. The percentiles of plain draws are too narrow where clips are few: if
every anomaly scores above every normal clip, all draws are 1.000. So each draw also allows for clips that nobody
recorded: a place among the n clips of an id, domain and label is taken by a clip of the other label with the
probability 1/2 / (n + 1/2), which is Jeffreys' prior. A missed anomaly or a loud normal clip is thus half a clip of
evidence. These draws lie lower than the value, so only their deviations from their own mean are used.

Coverage of the 95 % interval of hmean in simulations: 1 or 3 ids, 20 or 100 normal and 5, 10, 20 or 50 anomalous clips
of each, true AUC .9 and .97, normal distributions or a share of anomalies that nobody can hear; 60 test sets for each
of these 64 cases. Plain percentiles hold the truth in 23 to 98 %, 84 % on average; these intervals in 90 to 100 %, 98 %
on average. They are conservative where nearly all anomalies are found. Draws that take a whole clip as evidence cover
as well and are wider; their percentiles without the correction of the mean hold the truth of 3 ids in 22 % at worst.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.cell_scorer import CellScorer, strata_of

Floats = npt.NDArray[np.float64]
DRAWS = 1000
LEVEL = 0.95
UNRECORDED = 0.5  # clips of the other label that each stratum might have had


def resampled(scores: npt.ArrayLike, scorer: CellScorer, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Values of `scores` [repeats, clips], one per draw: clips are drawn again within each id, domain and label.

    Each value is the mean over repeats. The same seed draws the same clips, so values of two ensembles are paired.
    Clips stay in their stratum, so every draw has the scorer's labels and all draws are scored as one batch.
    """
    return values_of(scores, scorer, draws_of(scorer, draws, seed))


def values_of(scores: npt.ArrayLike, scorer: CellScorer, at: npt.NDArray[np.intp]) -> Floats:
    """Values of `scores` [repeats, clips], the mean over repeats for each draw; `at` is [draws, clips].

    Only the order of scores counts, and draws of ranks are measured faster.
    """
    rows = np.asarray(scores, np.float64)
    return np.asarray(np.mean([scorer((_ranks(row) if np.isfinite(row).all() else row)[at]) for row in rows], axis=0))


def _ranks(scores: Floats) -> npt.NDArray[np.uint32]:
    """From 0, without gaps; equal scores have equal ranks."""
    return np.unique(scores, return_inverse=True)[1].astype(np.uint32)


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


def cautious_interval(
    scores: npt.ArrayLike, value: float, scorer: CellScorer, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of `value`, which `scorer` gives `scores` [repeats, clips]; it is not of width zero at 0 or 1."""
    return around(value, values_of(scores, scorer, unrecorded_draws(scorer, draws, seed)), level)


def around(value: float, values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The interval of `value`, from values of `unrecorded_draws`."""
    low, high = interval(values - values.mean() + value, level)
    return max(0.0, min(low, value)), min(1.0, max(high, value))


def unrecorded_draws(scorer: CellScorer, draws: int, seed: int) -> npt.NDArray[np.intp]:
    """Positions of drawn clips, [draws, clips], in which some clips take the place of clips of the other label.

    The clips of the other label are of the same id and domain, or of the same id where that domain has none.
    """
    draw, clips = np.random.default_rng(seed), scorer.clips
    ids, domains, labels = (clips[name].to_numpy() for name in ("id", "domain", "label"))
    at = draws_of(scorer, draws, seed)
    for rows in strata_of(clips).values():
        first, shape = rows[0], (draws, len(rows))
        others = np.flatnonzero((ids == ids[first]) & (labels != labels[first]))
        near = others[domains[others] == domains[first]]
        others = near if len(near) else others
        if len(others):
            replaced = draw.random(shape) < UNRECORDED / (len(rows) + UNRECORDED)
            at[:, rows] = np.where(replaced, others[draw.integers(0, len(others), shape)], at[:, rows])
    return at
