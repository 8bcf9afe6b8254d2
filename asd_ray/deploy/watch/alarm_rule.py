"""When an alarm begins (N of the last M windows above a threshold) and ends (K in a row at or below a lower one)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray._rules import COUNT, is_number
from asd_ray.deploy.watch.events import Alarm, AlarmEnded, WindowScored
from asd_ray.errors import AsdRayError

# Two of three: one high window (a door, a voice) is no alarm, and a lasting fault still alarms within two windows.
ALARM_AFTER, OF = 2, 3
# Three windows in a row below three quarters of the normal scores: normal sound gets there in about 5 windows, and a
# fault whose score swings around the threshold hardly ever does, so that it stays one alarm.
CLEAR_AFTER, CALM_SHARE = 3, 0.75
MOST_OF = 10  # windows; the estimate of false alarms follows 2 to the power of this many histories
NORMAL_AGAIN, STOPPED = "normal again", "stopped"
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AlarmRule:
    """A window is high above `threshold`, and low at or below `lower_threshold`."""

    threshold: float
    lower_threshold: float
    alarm_after: int = ALARM_AFTER
    of: int = OF
    clear_after: int = CLEAR_AFTER

    def __post_init__(self) -> None:
        for name in ("alarm_after", "of", "clear_after"):
            if problem := COUNT.problem(getattr(self, name)):
                raise AsdRayError(f"--{name.replace('_', '-')} {problem}")
        if self.alarm_after > self.of or self.of > MOST_OF:
            raise AsdRayError(
                f"an alarm begins after --alarm-after {self.alarm_after} of the last --of {self.of} windows: --of must "
                f"be at least as many, and at most {MOST_OF}; choose a longer --hop for a longer memory"
            )
        for name in ("threshold", "lower_threshold"):
            value = getattr(self, name)
            if not is_number(value) or not np.isfinite(value):
                raise AsdRayError(f"--{name.replace('_', '-')} must be a finite number but got {value!r}")
        if self.lower_threshold > self.threshold:
            raise AsdRayError(
                f"--lower-threshold {self.lower_threshold:g} is above the threshold {self.threshold:g}; an alarm ends "
                "at or below the lower one, so it must not be higher"
            )

    def check_it_ends(self, normal: Scores) -> None:
        """Raise AsdRayError if no normal clip is low: then no alarm would ever end."""
        if not (normal <= self.lower_threshold).any():
            raise AsdRayError(
                f"--lower-threshold {self.lower_threshold:g} is below the scores of all {len(normal)} normal clips "
                f"(the lowest is {normal.min():g}), so an alarm would never end; choose a higher one, or leave it out"
            )


def low_level(normal: Scores, threshold: float) -> float:
    """The default of the lower threshold: the score that three quarters of the normal clips do not exceed."""
    return min(float(np.quantile(normal, CALM_SHARE)), threshold)


class AlarmState:
    """Follows the windows of one machine. `add` gets them in order."""

    def __init__(self, rule: AlarmRule) -> None:
        self.rule = rule
        self._recent: deque[WindowScored] = deque(maxlen=rule.of)  # while no alarm is open
        self._began: WindowScored | None = None
        self._worst: WindowScored | None = None
        self._last_not_low: WindowScored | None = None
        self._low = 0

    def add(self, window: WindowScored) -> Alarm | AlarmEnded | None:
        if self._began is None:
            return self._watch_for_alarm(window)
        assert self._worst is not None
        if window.score > self._worst.score:
            self._worst = window
        if window.score > self.rule.lower_threshold:
            self._last_not_low, self._low = window, 0
            return None
        self._low += 1
        return self.end(NORMAL_AGAIN) if self._low == self.rule.clear_after else None

    def end(self, reason: str = STOPPED) -> AlarmEnded | None:
        """End an open alarm; None if there is none."""
        began, worst, last = self._began, self._worst, self._last_not_low
        if began is None or worst is None or last is None:
            return None
        self._began = self._worst = self._last_not_low = None
        self._low = 0
        return AlarmEnded(
            began=began.began,
            ended=last.ended,
            seconds=round(max(0.0, (last.ended - began.began).total_seconds()), 3),
            machine=began.machine,
            id=began.id,
            worst=worst.score,
            worst_name=worst.name,
            worst_offset=worst.offset,
            reason=reason,
        )

    def _watch_for_alarm(self, window: WindowScored) -> Alarm | None:
        self._recent.append(window)
        high = [each for each in self._recent if each.score > self.rule.threshold]
        if window.score <= self.rule.threshold or len(high) < self.rule.alarm_after:
            return None
        first = high[0]
        self._began, self._last_not_low = first, window
        self._worst = max(high, key=lambda each: each.score)
        self._recent.clear()
        return Alarm(
            at=window.ended,
            began=first.began,
            machine=window.machine,
            id=window.id,
            name=first.name,
            offset=first.offset,
            score=window.score,
            share_below=window.share_below,
            threshold=self.rule.threshold,
            warnings=window.warnings,
        )
