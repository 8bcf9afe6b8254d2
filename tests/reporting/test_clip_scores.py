from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from asd_ray.reporting.clip_scores import MOST, alarms, clip_scores, quantiles, recorded_at


def frame(names: list[str], labels: list[str] | None = None, domain: str = "source") -> pd.DataFrame:
    return pd.DataFrame(
        {"clip": names, "id": "00", "domain": domain, "label": labels or ["normal"] * len(names)}, dtype=object
    )


def test_each_id_and_domain_has_its_clips_by_label() -> None:
    clips = pd.concat([frame(["a.wav", "b.wav"], ["normal", "anomaly"]), frame(["c.wav"], ["unknown"], "target")])
    source, target = clip_scores(clips.reset_index(drop=True), np.array([1.0, 2.0, 3.0]))
    assert (source["id"], source["domain"], list(source["labels"])) == ("00", "source", ["normal", "anomaly"])
    assert source["labels"]["anomaly"] == {"clips": ["b.wav"], "at": [2.0], "scores": [2.0], "box": [2.0] * 5}
    assert list(target["labels"]) == ["unknown"]


def test_a_box_has_quartiles_and_the_5th_and_95th_percentile() -> None:
    (part,) = clip_scores(frame([f"{at:03d}.wav" for at in range(101)]), np.arange(101.0))
    assert part["labels"]["normal"]["box"] == [5.0, 25.0, 50.0, 75.0, 95.0]


def test_clips_are_in_the_order_of_the_numbers_in_their_names() -> None:
    (part,) = clip_scores(frame(["fan_10.wav", "fan_9.wav", "fan_100.wav"]), np.array([10.0, 9.0, 100.0]))
    assert part["labels"]["normal"]["scores"] == [9.0, 10.0, 100.0]
    assert part["labels"]["normal"]["at"] == [1.0, 2.0, 3.0]
    assert part["axis"] == "clip, in the order of names"


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("fan/fan_2024-05-01_12-30-05.wav", datetime(2024, 5, 1, 12, 30, 5)),
        ("20240501_123005.wav", datetime(2024, 5, 1, 12, 30, 5)),
        ("20240501T1230.wav", datetime(2024, 5, 1, 12, 30)),
        ("2024-05-01 12:30.wav", datetime(2024, 5, 1, 12, 30)),
        ("2024-02-31_12-30.wav", None),  # no such day
        ("2024-05-01/fan.wav", None),  # a folder says nothing of the time of a clip
        ("normal_id_00_00000012.wav", None),
        ("section_00_source_test_normal_0001_vel_20.wav", None),
        ("1202405011230.wav", None),  # a longer number
    ],
)
def test_times_in_names(name: str, time: datetime | None) -> None:
    assert recorded_at(name) == time


def test_clips_lie_at_their_times_where_every_name_has_one() -> None:
    names = ["x_2024-05-01_12-00.wav", "a_2024-05-01_18-00.wav", "m_2024-05-01_13-30.wav"]
    (part,) = clip_scores(frame(names), np.array([0.0, 2.0, 1.0]))
    assert part["axis"] == "hours since 2024-05-01 12:00"
    assert part["labels"]["normal"]["at"] == [0.0, 1.5, 6.0]
    assert part["labels"]["normal"]["scores"] == [0.0, 1.0, 2.0]
    (part,) = clip_scores(frame([*names, "later.wav"]), np.zeros(4))
    assert part["axis"] == "clip, in the order of names"


def test_alarms_are_scores_above_the_threshold_and_not_those_equal_to_it() -> None:
    clips = frame(["a", "b", "c", "d"], ["normal", "normal", "anomaly", "anomaly"])
    clips.loc[3, "domain"] = "target"
    total, source, target = alarms(clip_scores(clips, np.array([0.0, 2.0, 1.0, 3.0])), 1.0)
    assert total["labels"] == {"normal": {"clips": 2, "above": 1}, "anomaly": {"clips": 2, "above": 1}}
    assert source["labels"]["anomaly"] == {"clips": 1, "above": 0}
    assert target["labels"] == {"anomaly": {"clips": 1, "above": 1}}


def test_quantiles_are_the_scores_in_order_or_steps_between_many() -> None:
    assert quantiles(np.array([])) == []
    assert quantiles(np.array([3.0, 1.0, 2.0])) == [1.0, 2.0, 3.0]
    many = np.random.default_rng(0).normal(size=3 * MOST)
    steps = quantiles(many)
    assert (len(steps), steps[0], steps[-1]) == (MOST, many.min(), many.max())
