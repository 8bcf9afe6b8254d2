"""Whether the values of a criterion tell candidates apart."""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._base import Floats

CEILING, EQUAL = 0.99, 0.005
SHARE = 0.9  # of the candidates
SATURATES = "it saturates: "


def saturation(values: Floats) -> str:
    """Why a criterion of these values is not used, in one line; "" if its values tell candidates apart.

    One candidate alone needs no telling apart.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return "it gives no candidate a value"
    if len(known) == 1:
        return ""
    if (known > CEILING).mean() >= SHARE:
        return f"{SATURATES}{(known > CEILING).mean():.0%} of the candidates are above {CEILING}"
    low, high = np.quantile(known, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    if high - low < EQUAL:
        return f"{SATURATES}{SHARE:.0%} of the candidates lie within {EQUAL} of each other"
    return ""
