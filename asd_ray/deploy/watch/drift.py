"""Whether the level of the scores still is that of the normal clips."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from asd_ray._rules import COUNT
from asd_ray.errors import AsdRayError

WINDOWS = 240  # 20 minutes at a hop of 5 s: longer than most alarms, shorter than a shift
DEVIATIONS = 4.0  # standard errors; of so many looks a day, normal sound passes this about once in months


class DriftRule:
    """Compares the median score of the last windows with the scores of the normal clips.

    The share of normal clips below that median is 0.5 if nothing has changed. Its standard error is
    0.5 · sqrt(1 / independent windows + 1 / normal clips), where windows that overlap count less. A share that is more
    than 4 standard errors away is drift. It is over when the share is within half of that.
    """

    def __init__(self, normal: npt.NDArray[np.float64], windows: int = WINDOWS, overlap: float = 0.0) -> None:
        if problem := COUNT.problem(windows):
            raise AsdRayError(f"--drift-windows {problem}")
        self.windows = windows
        self._normal = np.sort(normal)
        independent = max(1.0, windows * (1 - overlap))
        self.allowed = DEVIATIONS * 0.5 * float(np.sqrt(1 / independent + 1 / len(normal)))
        self._last: deque[float] = deque(maxlen=windows)
        self._drifted = False
        self.median = self.share_below = 0.5

    @property
    def possible(self) -> bool:
        """False if there are so few clips or windows that no shift, however large, would be beyond chance."""
        return self.allowed < 0.5

    @property
    def words(self) -> str:
        if not self.possible:
            return (
                f"{self.windows} windows and {len(self._normal)} normal clips are too few to tell a drift from chance"
            )
        low, high = 0.5 - self.allowed, 0.5 + self.allowed
        return (
            f"reported when the median score of the last {self.windows} windows is above less than {low:.0%} or more "
            f"than {high:.0%} of the normal clips"
        )

    def add(self, score: float) -> bool:
        """Whether a drift begins with this score."""
        self._last.append(score)
        if not self.possible or len(self._last) < self.windows:
            return False
        self.median = float(np.median(self._last))
        below = np.searchsorted(self._normal, self.median, "left")
        until = np.searchsorted(self._normal, self.median, "right")
        self.share_below = float(below + until) / 2 / len(self._normal)
        away = abs(self.share_below - 0.5)
        if self._drifted:
            self._drifted = away > self.allowed / 2
            return False
        self._drifted = away > self.allowed
        return self._drifted
