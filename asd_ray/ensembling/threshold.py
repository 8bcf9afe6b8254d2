"""The decision threshold: a score that a fixed share of normal clips exceeds. It needs no label.

As the DCASE baselines do it, a gamma distribution is fitted to the scores of normal clips and cut at its 90th
percentile. Scores of an ensemble may be negative, so the location is fitted as well. The percentile of the scores
themselves is used with `how` "empirical", and if the fit fails, as it does for equal scores and for scores that are
skewed to the left. A fit has failed if the share of normal clips above its threshold is not the expected one.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling._part import Part
from asd_ray.errors import AsdRayError, unknown

HOW = ("gamma", "empirical")
MIXTURE = "mixture"  # of test clips of which nobody knows whether they are normal; see lower_mode.py
TEST = "test"  # a source
SOURCES = {"held_out": "held-out normal clips", "train": "training clips", TEST: "test clips, anomalies included"}
PERCENTILE = 90.0
FAR = 3.0  # standard errors of the share of clips above the threshold


@dataclass(frozen=True)
class Threshold(Part):
    """A score above `value` is called an anomaly. The gamma distribution's parameters are set if `how` is gamma.

    The fields from `source` on are None in files of earlier versions, and for a threshold that a user chose.
    """

    how: str
    percentile: float
    value: float
    shape: float | None = None
    loc: float | None = None
    scale: float | None = None
    note: str | None = None
    source: str | None = None  # a key of SOURCES: the clips whose scores it was computed from
    clips: int | None = None  # number of these clips
    exceeding: int | None = None  # those of them that score above `value`
    normal_share: float | None = None  # where `how` is mixture: the share of the test clips that it takes for normal

    @property
    def description(self) -> str:
        """Where it comes from, for people; "" where that is not known."""
        if self.source is None or self.clips is None:
            return ""
        clips = f"{self.clips:,} {SOURCES[self.source]}"
        if self.how == MIXTURE:
            share = f"{100 * (self.normal_share or 0):.0f} %"
            return f"the {self.percentile:g}th percentile of the lower {share} of {clips}, which are taken for normal"
        how = ", by a gamma distribution" if self.how == "gamma" else ""
        return f"the {self.percentile:g}th percentile of {clips}{how}"

    def fitted_value(self) -> float:
        """The percentile of the gamma distribution, which must equal `value`; NaN if there is no distribution."""
        if self.shape is None or self.loc is None or self.scale is None:
            return math.nan
        return _percentile(self.percentile, self.shape, self.loc, self.scale)


def threshold(scores: npt.ArrayLike, how: str = "gamma", percentile: float = PERCENTILE) -> Threshold:
    """The threshold of an ensemble; `scores` are its scores of normal clips."""
    normal = np.asarray(scores, np.float64)
    if how not in HOW:
        raise unknown("threshold", how, HOW)
    if not 0 < percentile < 100:
        raise AsdRayError(f"the percentile of a threshold must be above 0 and below 100 but got {percentile}")
    if not len(normal):
        raise AsdRayError("a threshold needs scores of normal clips but got none")
    empirical = float(np.percentile(normal, percentile))
    if how == "empirical":
        return Threshold("empirical", percentile, empirical)
    return _fitted(normal, percentile) or Threshold(
        "empirical", percentile, empirical, note="no gamma distribution fits these scores"
    )


def _fitted(normal: npt.NDArray[np.float64], percentile: float) -> Threshold | None:
    """The threshold by a gamma distribution; None if the fit fails."""
    import scipy.stats  # slow to import, and used here only

    if not (np.ptp(normal) > 0 and len(normal) > 2):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shape, loc, scale = map(float, scipy.stats.gamma.fit(normal))
            value = _percentile(percentile, shape, loc, scale)
        except (ValueError, RuntimeError, FloatingPointError):
            return None
    share = 1 - percentile / 100
    error = math.sqrt(share * (1 - share) / len(normal))
    if not math.isfinite(value) or abs((normal > value).mean() - share) > FAR * error:
        return None
    return Threshold("gamma", percentile, value, shape, loc, scale)


def _percentile(percentile: float, shape: float, loc: float, scale: float) -> float:
    import scipy.stats

    return float(scipy.stats.gamma.ppf(percentile / 100, shape, loc=loc, scale=scale))
