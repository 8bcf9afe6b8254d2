"""Precision, recall and F1 of decisions by a threshold. They are never part of an official score."""

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
    label, decision = binary(labels), binary(decisions)
    if len(label) != len(decision):
        raise AsdRayError(f"{len(label)} labels but {len(decision)} decisions; give one decision per clip")
    true_positives = int((label & decision).sum())
    precision = true_positives / max(int(decision.sum()), EPS)
    recall = true_positives / max(int(label.sum()), EPS)
    return Detection(precision, recall, 2.0 * precision * recall / max(precision + recall, EPS))


def f1(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> float:
    """F1 if clips with a score above `threshold` are decided to be anomalous."""
    return detection(labels, np.asarray(scores) > threshold).f1
