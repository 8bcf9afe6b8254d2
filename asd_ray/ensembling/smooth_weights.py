"""Weights of a mean that maximise a smooth form of AUC and pAUC: not negative, and 1 in sum.

AUC counts the pairs of an anomaly and a normal clip that are in order. Here each pair counts by a sigmoid of its
difference, so the value has a gradient, and Adam climbs it from equal weights in `STEPS` steps. pAUC takes the pairs
with the highest tenth of the normal clips. The sigmoid's width is a share of the spread of the ensemble's scores.

Weights are rounded to thousandths, so that processors that round differently choose alike. Where there are so many that
the largest is below a hundredth, they are rounded to its second digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.greedy import Selection
from asd_ray.metrics import MAX_FPR

Floats = npt.NDArray[np.float64]
STEPS = 150
WIDTH = 0.35  # of the sigmoid, in standard deviations of the ensemble's scores
RATE = 0.1  # Adam's
SMALLEST = 0.02  # share of the largest weight; a member below it is left out
FARTHEST = 350.0  # widths from the mean score; clips farther out count as if they were there
LEAST = 1e-6  # of a cell, so that the harmonic mean exists


def smooth_weights(scores: Floats, scorer: CellScorer, members: Sequence[int]) -> Selection:
    """Weigh `members`, rows of the standardised `scores`; those with hardly any weight are left out.

    They are in the order of their weights. The trail is the value as they are added one by one, with their weights.
    """
    weights = weights_of(scores[list(members)], scorer)
    order = [int(at) for at in np.argsort(-weights, kind="stable") if weights[at] > 0]
    rows = [members[at] for at in order]
    steps = np.cumsum(weights[order, None] * scores[rows], axis=0)
    return Selection(tuple(rows), tuple(weights[order].tolist()), tuple(zip(rows, scorer(steps).tolist(), strict=True)))


def weights_of(scores: Floats, scorer: CellScorer) -> Floats:
    """The weight of each row of `scores`."""
    smooth = SmoothValue.of(scorer)
    exponents = np.zeros(len(scores))
    mean, square = np.zeros_like(exponents), np.zeros_like(exponents)
    for step in range(1, STEPS + 1):
        weights = _softmax(exponents)
        slope = smooth.slope(scores, weights)
        slope = weights * (slope - weights @ slope)  # by the exponents
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        exponents += RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-9)
    weights = _softmax(exponents)
    weights[weights < SMALLEST * weights.max()] = 0.0
    weights /= weights.sum()
    return np.asarray(weights.round(max(3, math.ceil(-math.log10(weights.max())) + 1)))


@dataclass(frozen=True)
class SmoothValue:
    """The smooth form of a scorer's value. Each cell has anomalies, normals, and the number of normals that count."""

    cells: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, bool], ...]

    @classmethod
    def of(cls, scorer: CellScorer) -> SmoothValue:
        cells = []
        for anomalies, normals, is_pauc in scorer.clips_of_cells():
            highest = max(1, math.ceil(MAX_FPR * len(normals))) if is_pauc else len(normals)
            cells.append((anomalies, normals, highest, is_pauc))
        return cls(tuple(cells))

    def slope(self, scores: Floats, weights: Floats) -> Floats:
        """The gradient of the harmonic mean of all cells by `weights`."""
        together = weights @ scores
        width = WIDTH * (float(together.std()) or 1.0)
        # The exponential of a difference is a product, so each clip needs one. No product of two overflows.
        exponents = np.clip((together - together.mean()) / width, -FARTHEST, FARTHEST)
        rising, falling = np.exp(exponents), np.exp(-exponents)
        values, by_clip = np.empty(len(self.cells)), np.zeros((len(self.cells), len(together)))
        for number, (anomalies, normals, highest, is_pauc) in enumerate(self.cells):
            if highest < len(normals):
                normals = normals[np.argpartition(-together[normals], highest - 1)[:highest]]
            shares = 1 / (1 + falling[anomalies, None] * rising[normals])  # the sigmoid of the difference
            steep = 0.5 / (1 - MAX_FPR / 2) if is_pauc else 1.0  # McClish's scale, in which chance is 0.5
            values[number] = 0.5 + steep * (shares.mean() - MAX_FPR / 2) if is_pauc else shares.mean()
            slopes = shares * (1 - shares)
            by_pair = steep / (width * shares.size)
            by_clip[number, anomalies] = by_pair * slopes.sum(axis=1)
            by_clip[number, normals] = -by_pair * slopes.sum(axis=0)
        values = np.maximum(values, LEAST)
        hmean = len(values) / (1 / values).sum()
        return np.asarray(scores @ (hmean**2 / len(values) / values**2 @ by_clip))


def _softmax(exponents: Floats) -> Floats:
    powers = np.exp(exponents - exponents.max())
    return np.asarray(powers / powers.sum())
