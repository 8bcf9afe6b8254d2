"""False alarms to expect, from the scores of normal clips, with a limit that allows for how few the clips are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

DAY = 86_400.0  # seconds
CONFIDENCE = 0.95


@dataclass(frozen=True)
class FalseAlarmRate:
    """How many of `clips` normal clips score above a threshold."""

    exceeding: int
    clips: int

    def __post_init__(self) -> None:
        if not 0 <= self.exceeding <= self.clips or not self.clips:
            raise AsdRayError(f"of {self.clips} normal clips, {self.exceeding} cannot be above a threshold")

    @classmethod
    def of(cls, normal: npt.ArrayLike, threshold: float) -> Self:
        """That of a threshold; `normal` are the scores of normal clips."""
        scores = np.asarray(normal, np.float64)
        return cls(int((scores > threshold).sum()), len(scores))

    @property
    def share(self) -> float:
        return self.exceeding / self.clips

    @property
    def limits(self) -> tuple[float, float]:
        """The 95 % interval of the share among all normal sound, by Clopper and Pearson: never too narrow."""
        from scipy.special import betaincinv  # scipy.stats would take half a second to import

        tail, missed = (1 - CONFIDENCE) / 2, self.clips - self.exceeding
        low = betaincinv(self.exceeding, missed + 1, tail) if self.exceeding else 0.0
        high = betaincinv(self.exceeding + 1, missed, 1 - tail) if missed else 1.0
        return float(low), float(high)

    def per_day(self, seconds: float) -> float:
        """Normal clips above the threshold in a day of clips of this length, one after the other."""
        return DAY / seconds * self.share

    def most_per_day(self, seconds: float) -> float:
        """The upper limit of `per_day`."""
        return DAY / seconds * self.limits[1]
