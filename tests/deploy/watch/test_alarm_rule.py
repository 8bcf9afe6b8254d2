from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asd_ray.deploy.watch.alarm_rule import AlarmRule, AlarmState, low_level
from asd_ray.deploy.watch.events import Alarm, AlarmEnded, WindowScored
from asd_ray.errors import AsdRayError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULE = AlarmRule(threshold=10.0, lower_threshold=5.0)


def window(at: int, score: float) -> WindowScored:
    began = NOON + timedelta(seconds=at)
    return WindowScored(
        began=began,
        ended=began + timedelta(seconds=2),
        machine="fan",
        id="00",
        name="-",
        offset=float(at),
        score=score,
        share_below=0.0,
        threshold=10.0,
    )


def played(scores: list[float], rule: AlarmRule = RULE) -> list[tuple[int, Alarm | AlarmEnded]]:
    state = AlarmState(rule)
    changes = [(at, state.add(window(at, score))) for at, score in enumerate(scores)]
    return [(at, change) for at, change in changes if change is not None]


def test_one_loud_window_is_no_alarm() -> None:
    assert played([0, 11, 0, 0, 11, 0, 0]) == []


def test_two_of_three_are_one_alarm_that_ends_after_three_calm_windows() -> None:
    (at, began), (end, ended) = played([0, 12, 0, 11, 20, 7, 4, 4, 6, 4, 4, 4, 0])
    assert (at, end) == (3, 11)
    assert isinstance(began, Alarm)
    assert (began.began, began.at) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=5))
    assert (began.offset, began.score, began.threshold) == (1.0, 11, 10.0)
    assert isinstance(ended, AlarmEnded)
    assert ended.began == began.began
    assert ended.ended == NOON + timedelta(seconds=10)  # end of the window at 8 s, the last above the lower threshold
    assert (ended.seconds, ended.worst, ended.worst_offset, ended.reason) == (9.0, 20, 4.0, "normal again")


def test_a_score_that_swings_around_the_threshold_is_one_alarm() -> None:
    changes = played([12, 12] + [8, 4, 12] * 50)
    assert [type(change) for _, change in changes] == [Alarm]


def test_the_windows_of_one_alarm_do_not_count_for_the_next() -> None:
    rule = AlarmRule(10.0, 10.0, alarm_after=2, of=3, clear_after=1)
    assert [at for at, _ in played([11, 11, 0, 11, 0, 11], rule)] == [1, 2, 5]


def test_every_loud_window_can_be_an_alarm() -> None:
    rule = AlarmRule(10.0, 5.0, alarm_after=1, of=1, clear_after=1)
    assert [at for at, _ in played([0, 11, 0, 11, 0], rule)] == [1, 2, 3, 4]


def test_equal_to_a_threshold_is_not_above_it() -> None:
    assert played([10.0] * 5) == []
    assert [at for at, _ in played([11, 11, 5, 5, 5])] == [1, 4]


def test_an_open_alarm_ends_with_stopped() -> None:
    state = AlarmState(RULE)
    assert state.end() is None
    for at in range(3):
        state.add(window(at, 11))
    ended = state.end()
    assert ended is not None
    assert (ended.reason, ended.seconds) == ("stopped", 4.0)
    assert state.end() is None


def test_the_lower_threshold_defaults_to_three_quarters_of_normal() -> None:
    normal = np.arange(101.0)
    assert low_level(normal, 99.0) == 75.0
    assert low_level(normal, 50.0) == 50.0  # never above the threshold


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"alarm_after": 4}, "--of must be at least as many"),
        ({"of": 11}, "at most 10"),
        ({"clear_after": 0}, "--clear-after must be a whole number from 1"),
        ({"alarm_after": 1.5}, "--alarm-after"),
        ({"lower_threshold": 10.1}, "must not be higher"),
        ({"threshold": float("nan")}, "--threshold must be a finite number"),
    ],
)
def test_impossible_rules_are_refused(how: dict[str, float], words: str) -> None:
    with pytest.raises(AsdRayError, match=words):
        AlarmRule(**{"threshold": 10.0, "lower_threshold": 5.0, **how})  # type: ignore[arg-type]


def test_a_rule_that_never_ends_an_alarm_is_refused() -> None:
    with pytest.raises(AsdRayError, match="an alarm would never end"):
        RULE.check_it_ends(np.array([6.0, 7.0]))
    RULE.check_it_ends(np.array([5.0, 7.0]))
