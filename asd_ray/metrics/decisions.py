"""What a threshold makes of scores: precision, recall and F1. Never part of an official score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError
from asd_ray.metrics.binary_labels import binary
from asd_ray.metrics.means import EPS


class Detection(NamedTuple):
    precision: float
    recall: float
    f1: float


def detection(labels: npt.ArrayLike, decisions: npt.ArrayLike) -> Detection:
    """Precision, recall and F1 of decisions 0 and 1; a denominator of zero gives 0, as in the evaluators."""
    truth, decided = binary(labels), binary(decisions)
    if len(truth) != len(decided):
        raise AsdRayError(f"{len(truth)} labels but {len(decided)} decisions; give one decision a clip")
    hits = int((truth & decided).sum())
    precision = hits / max(int(decided.sum()), EPS)
    recall = hits / max(int(truth.sum()), EPS)
    return Detection(precision, recall, 2.0 * precision * recall / max(precision + recall, EPS))


def f1(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> float:
    """F1 where a clip counts as anomalous if its score is above `threshold`."""
    return detection(labels, np.asarray(scores) > threshold).f1
