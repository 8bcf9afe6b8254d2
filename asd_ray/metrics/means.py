"""Means over machines, ids and domains."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

EPS = float(np.finfo(float).eps)  # the floor of every official harmonic mean


def hmean(values: npt.ArrayLike, axis: int | None = None) -> Any:
    """Harmonic mean as in the official evaluators: each value is at least the float epsilon, so 0 is allowed."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0:
        raise AsdRayError("the harmonic mean needs at least one value but got none")
    mean = 1.0 / np.mean(1.0 / np.maximum(numbers, EPS), axis=axis)
    return float(mean) if np.ndim(mean) == 0 else mean


def amean(values: npt.ArrayLike) -> float:
    """Arithmetic mean."""
    return float(np.mean(np.asarray(values, dtype=np.float64)))
