from __future__ import annotations

import numpy as np
import pytest

from asd_ray.deploy.watch.alarm_rule import AlarmRule, AlarmState
from asd_ray.deploy.watch.events import Alarm
from asd_ray.deploy.watch.false_alarms import alarms_per_window, expected_false_alarms
from tests.deploy.watch.test_alarm_rule import window


def simulated(high: float, low: float, rule: AlarmRule, windows: int = 60_000) -> float:
    """Alarms per window of independent scores, by the code that runs in a watch."""
    drawn = np.random.default_rng(0).random(windows)
    scores = np.where(drawn < high, 2.0, np.where(drawn < 1 - low, 1.0, 0.0))
    state = AlarmState(rule)
    return sum(isinstance(state.add(window(at, float(score))), Alarm) for at, score in enumerate(scores)) / windows


@pytest.mark.parametrize(
    ("high", "low", "alarm_after", "of", "clear_after"),
    [(0.1, 0.75, 2, 3, 3), (0.3, 0.5, 3, 5, 2), (0.05, 0.95, 1, 1, 1), (0.2, 0.8, 2, 2, 4), (0.25, 0.75, 4, 10, 1)],
)
def test_the_chain_gives_what_a_simulation_gives(
    high: float, low: float, alarm_after: int, of: int, clear_after: int
) -> None:
    rule = AlarmRule(1.5, 0.5, alarm_after, of, clear_after)
    assert alarms_per_window(high, low, rule) == pytest.approx(simulated(high, low, rule), rel=0.06)


def test_a_day_of_the_default_rule() -> None:
    rule = AlarmRule(threshold=99.0, lower_threshold=75.0)
    estimate = expected_false_alarms(np.arange(1.0, 101.0), rule, hop=5.0)
    assert (estimate.windows_per_day, estimate.normal_clips, estimate.exceeding) == (17_280, 100, 1)
    assert estimate.per_day == pytest.approx(
        17_280 * 2 * 0.01**2, rel=0.05
    )  # two windows above the threshold within two steps
    assert estimate.per_day_most == pytest.approx(17_280 * 0.01 / 2)
    assert estimate.resolution == estimate.per_day_most
    assert estimate.words == (
        "1 of 100 normal clips score above the threshold. With 17,280 windows a day, expect 3.4 false alarms a day if "
        "the scores of windows are independent, and at most 86 if they come together. One clip more or less "
        "above the threshold changes this limit by 86"
    )


def test_no_exceedance_says_what_cannot_be_told() -> None:
    estimate = expected_false_alarms(np.arange(50.0), AlarmRule(60.0, 40.0), hop=10.0)
    assert (estimate.per_day, estimate.per_day_most) == (0.0, 0.0)
    assert estimate.resolution == pytest.approx(8640 / 50 / 2)
    assert "fewer than about 86 a day cannot be told from 50 clips" in estimate.words


@pytest.mark.parametrize("order", ["independent", "together"])
def test_no_order_of_the_windows_gives_more_than_the_upper_limit(order: str) -> None:
    scores = np.random.default_rng(1).random(20_000)
    if order == "together":
        scores = np.sort(
            scores.reshape(-1, 50), axis=1
        ).ravel()  # the windows above the threshold of 50 follow each other
    rule = AlarmRule(threshold=0.9, lower_threshold=0.75)
    state = AlarmState(rule)
    alarms = sum(isinstance(state.add(window(at, float(score))), Alarm) for at, score in enumerate(scores))
    estimate = expected_false_alarms(scores, rule, hop=86_400 / len(scores))
    assert 0 < alarms <= estimate.per_day_most
    if order == "independent":
        assert alarms == pytest.approx(estimate.per_day, rel=0.1)


def test_alarms_that_no_one_would_live_to_see_are_zero() -> None:
    assert alarms_per_window(1e-9, 0.75, AlarmRule(1.5, 0.5, alarm_after=5, of=5)) == 0.0
