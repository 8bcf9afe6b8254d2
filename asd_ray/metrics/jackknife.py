"""The jackknife: how much AUC or pAUC changes when one clip is left out, and the interval computed from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError
from asd_ray.metrics._pairs import Floats, chunks, matrix
from asd_ray.metrics.binary_labels import both_classes
from asd_ray.metrics.curve import areas, mcclish

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Jackknife:
    """An estimate and its 95 % interval, estimate - half_width to estimate + half_width."""

    theta: float  # of all clips
    estimate: float  # the mean of the pseudo-values: theta without its bias of order 1/N
    half_width: float  # t quantile times the jackknife's standard error
    official_half_width: float  # as the evaluators of 2022 to 2024 print it: N-1 times too narrow
    clips: int


def jackknife(labels: npt.ArrayLike, scores: npt.ArrayLike, max_fpr: float = 1.0) -> Jackknife:
    """Jackknife of AUC, or of pAUC if `max_fpr` is below 1."""
    from scipy.special import stdtrit  # scipy.stats would take half a second to import

    theta, without = leave_one_out(labels, scores, max_fpr)
    n = len(without)
    spread = float(np.sum((without - without.mean()) ** 2))
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Jackknife(
        theta=theta,
        estimate=n * theta - (n - 1) * float(without.mean()),
        half_width=quantile * math.sqrt((n - 1) / n * spread),
        official_half_width=quantile * math.sqrt(spread / (n * (n - 1))),
        clips=n,
    )


def leave_one_out(labels: npt.ArrayLike, scores: npt.ArrayLike, max_fpr: float = 1.0) -> tuple[float, Floats]:
    """The value over all clips, and for each clip the value over all other clips, in O(N log N).

    Each anomaly adds its own area under the curve. Without one anomaly, its area is missing. Without one normal, the
    anomalies below it move up by one place, those tied with it have one tie less, and the limit moves.
    """
    is_anomaly = both_classes(labels, "the jackknife").astype(bool)
    ((_, (row,)),) = chunks(matrix(np.asarray(scores)[None], len(is_anomaly)))
    anomalous, normal = row[is_anomaly], np.sort(row[~is_anomaly])
    if min(len(anomalous), len(normal)) < 2:
        raise AsdRayError("the jackknife needs at least two normal and two anomalous clips, to leave one out")
    descending = np.sort(anomalous)[::-1]
    above = len(normal) - normal.searchsorted(descending, "right")
    ties = len(normal) - normal.searchsorted(descending, "left") - above

    def value(total: Floats | float, anomalies: int, normals: int) -> Floats:
        return mcclish(np.asarray(total) / (anomalies * normals), max_fpr)

    own = areas(above, ties, max_fpr * len(normal))
    total = own.sum()
    without = np.empty(len(row))
    by_score = np.argsort(-anomalous, kind="stable")
    place = np.empty(len(anomalous), dtype=np.int64)
    place[by_score] = np.arange(len(anomalous))
    without[is_anomaly] = value(total - own[place], len(anomalous) - 1, len(normal))

    limit = max_fpr * (len(normal) - 1)
    higher = _running(areas(above, ties, limit))  # anomalies above the normal that is left out
    tied = _running(areas(above, np.maximum(ties - 1, 0), limit))
    lower = _running(areas(above - 1, ties, limit))
    first = np.searchsorted(-descending, -row[~is_anomaly], "left")  # anomalies that score higher than this normal
    last = np.searchsorted(-descending, -row[~is_anomaly], "right")
    remaining = higher[first] + (tied[last] - tied[first]) + (lower[-1] - lower[last])
    without[~is_anomaly] = value(remaining, len(anomalous), len(normal) - 1)
    return float(value(total, len(anomalous), len(normal))), without


def _running(values: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum(values)))
