"""How many false alarms a day to expect, from the scores of normal clips.

Two numbers, because the order of windows is not known from clips. `per_day` takes each window as a draw of its own from
the normal scores and follows the alarm rule exactly, as a Markov chain. Real windows overlap and machines have louder
hours, so high windows come together. `per_day_most` holds for any order: every alarm needs `alarm_after` high windows,
and no window counts for two alarms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.deploy.watch.alarm_rule import AlarmRule
from asd_ray.deploy.watch.events import FalseAlarms
from asd_ray.metrics.false_alarms import DAY, FalseAlarmRate

LONGEST = 1e12  # windows until an alarm: beyond it the equations lose their precision, and nobody would wait


def expected_false_alarms(normal: npt.NDArray[np.float64], rule: AlarmRule, hop: float) -> FalseAlarms:
    """The estimate for windows that begin every `hop` seconds; `normal` are scores of normal clips."""
    windows, rate = DAY / hop, FalseAlarmRate.of(normal, rule.threshold)
    low = 1 - FalseAlarmRate.of(normal, rule.lower_threshold).share
    per_day = windows * alarms_per_window(rate.share, low, rule)
    most = rate.per_day(hop) / rule.alarm_after
    resolution = windows / rate.clips / rule.alarm_after
    return FalseAlarms(
        windows_per_day=windows,
        normal_clips=rate.clips,
        exceeding=rate.exceeding,
        per_day=per_day,
        per_day_most=most,
        resolution=resolution,
        words=_words(rate.exceeding, rate.clips, windows, per_day, most, resolution),
    )


def _words(exceeding: int, clips: int, windows: float, per_day: float, most: float, resolution: float) -> str:
    if exceeding == 0:
        return (
            f"none of {clips} normal clips scores above the threshold: false alarms are rare, but fewer than about "
            f"{_number(resolution)} a day cannot be told from {clips} clips"
        )
    return (
        f"{exceeding} of {clips} normal clips score above the threshold. With {_number(windows)} windows a day, expect "
        f"{_number(per_day)} false alarms a day if the scores of windows are independent, and at most "
        f"{_number(most)} if they come together. One clip more or less above the threshold changes this limit by "
        f"{_number(resolution)}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def alarms_per_window(high: float, low: float, rule: AlarmRule) -> float:
    """Alarms per window in the long run, if each window is high or low with these probabilities, independently."""
    if high == 0.0 or low == 0.0:
        return 0.0
    waiting = _windows_until_alarm(high, rule)
    clearing = rule.clear_after if low == 1.0 else (1 - low**rule.clear_after) / ((1 - low) * low**rule.clear_after)
    return 0.0 if not 0 < waiting < LONGEST else 1 / (waiting + clearing)


def _windows_until_alarm(high: float, rule: AlarmRule) -> float:
    """The expected number of windows until an alarm, from an empty history.

    The states are the high windows among the last `of` - 1, as bits; those with `alarm_after` of them had an alarm.
    """
    mask = (1 << (rule.of - 1)) - 1
    states = [bits for bits in range(mask + 1) if bits.bit_count() < rule.alarm_after]
    row = {bits: at for at, bits in enumerate(states)}
    steps = np.eye(len(states))
    for bits in states:
        for is_high, probability in ((1, high), (0, 1 - high)):
            if is_high and bits.bit_count() + 1 >= rule.alarm_after:
                continue  # the alarm
            steps[row[bits], row[((bits << 1) | is_high) & mask]] -= probability
    return float(np.linalg.solve(steps, np.ones(len(states)))[row[0]])
