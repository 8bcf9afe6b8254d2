"""How the numbers of machines, ids and domains become one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

EPS = float(np.finfo(float).eps)  # the floor of every official harmonic mean


def hmean(values: npt.ArrayLike, axis: int | None = None) -> Any:
    """Harmonic mean as the official evaluators take it: each value floored at the float epsilon, so 0 is allowed."""
    given = np.asarray(values, dtype=np.float64)
    if given.size == 0:
        raise AsdRayError("the harmonic mean needs at least one value but got none")
    mean = 1.0 / np.mean(1.0 / np.maximum(given, EPS), axis=axis)
    return float(mean) if np.ndim(mean) == 0 else mean


def amean(values: npt.ArrayLike) -> float:
    """Arithmetic mean."""
    return float(np.mean(np.asarray(values, dtype=np.float64)))
