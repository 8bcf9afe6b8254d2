from __future__ import annotations

import numpy as np
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.metrics import FalseAlarmRate


def test_clips_above_a_threshold_are_counted_and_ties_are_below() -> None:
    rate = FalseAlarmRate.of([1.0, 2.0, 3.0, 4.0], 3.0)
    assert (rate.exceeding, rate.clips, rate.share) == (1, 4, 0.25)


@pytest.mark.parametrize(
    ("exceeding", "clips", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 20, 0.0866, 0.4910), (10, 100, 0.0490, 0.1762)],
)
def test_limits_are_those_of_clopper_and_pearson(exceeding: int, clips: int, low: float, high: float) -> None:
    assert FalseAlarmRate(exceeding, clips).limits == pytest.approx((low, high), abs=1e-4)  # of published tables


@pytest.mark.parametrize("truth", [0.02, 0.1, 0.3])
def test_limits_hold_the_truth_at_least_as_often_as_they_say(truth: float) -> None:
    rng = np.random.default_rng(0)
    limits = [FalseAlarmRate(int(count), 40).limits for count in rng.binomial(40, truth, 400)]
    assert np.mean([low <= truth <= high for low, high in limits]) >= 0.94


def test_a_day_is_full_of_clips_one_after_the_other() -> None:
    rate = FalseAlarmRate(1, 10)
    assert rate.per_day(10.0) == pytest.approx(864)
    assert rate.per_day(1.0) == pytest.approx(8640)
    assert rate.most_per_day(10.0) == pytest.approx(8640 * rate.limits[1])


@pytest.mark.parametrize(("exceeding", "clips"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(exceeding: int, clips: int) -> None:
    with pytest.raises(AsdRayError, match="cannot be above a threshold"):
        FalseAlarmRate(exceeding, clips)
