"""From scores to decisions: a threshold that a share of normal clips exceeds, found without a label.

As the DCASE baselines do it, a gamma distribution is fitted to the scores of normal clips and cut at its 90th
percentile. Scores of an ensemble may be negative, so its place is fitted, too. Where the fit fails, as on equal scores
and on scores that lean to the left, and with `how` "empirical", the percentile is that of the scores themselves. A fit
has failed if the share of normal clips above its threshold is not what it should be.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError, unknown

HOW = ("gamma", "empirical")
PERCENTILE = 90.0
FAR = 3.0  # standard errors of a share of as many clips


def threshold(scores: npt.ArrayLike, how: str = "gamma", percentile: float = PERCENTILE) -> dict[str, Any]:
    """`value` to be exceeded, with how it was found."""
    given = np.asarray(scores, np.float64)
    if how not in HOW:
        raise unknown("threshold", how, HOW)
    if not 0 < percentile < 100:
        raise AsdRayError(f"the percentile of a threshold must be above 0 and below 100 but got {percentile}")
    if not len(given):
        raise AsdRayError("a threshold needs scores of normal clips but got none")
    found: dict[str, Any] = {
        "how": "empirical",
        "percentile": percentile,
        "value": float(np.percentile(given, percentile)),
    }
    if how == "empirical":
        return found
    import scipy.stats  # slow to import, and of use here only

    if np.ptp(given) > 0 and len(given) > 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                shape, place, scale = scipy.stats.gamma.fit(given)
                fitted = {"shape": float(shape), "loc": float(place), "scale": float(scale)}
                value = of_distribution({"percentile": percentile, **fitted})
            except (ValueError, RuntimeError, FloatingPointError):
                value = math.nan
        share = 1 - percentile / 100
        if math.isfinite(value) and abs((given > value).mean() - share) <= FAR * math.sqrt(
            share * (1 - share) / len(given)
        ):
            return {"how": "gamma", "percentile": percentile, "value": value, **fitted}
    return found | {"note": "no gamma distribution fits these scores"}


def of_distribution(told: Mapping[str, Any]) -> float:
    """The percentile of a threshold's own gamma distribution, NaN where its numbers make none."""
    import scipy.stats

    return float(scipy.stats.gamma.ppf(told["percentile"] / 100, told["shape"], loc=told["loc"], scale=told["scale"]))
