from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from asd_ray.reporting.members import WORST, agreement, extremes, worst_clips


def frame(labels: list[str]) -> pd.DataFrame:
    count = len(labels)
    clips = [f"{at}.wav" for at in range(count)]
    return pd.DataFrame({"clip": clips, "id": ["00"] * count, "domain": "source", "label": labels})


def test_agreement_is_of_ranks_within_an_id() -> None:
    clips = pd.DataFrame({"id": ["00"] * 5 + ["01"] * 5})
    rising = np.r_[np.arange(5.0), np.arange(5.0) + 100]
    falling = np.r_[-np.arange(5.0), -np.arange(5.0) + 1000]  # the ids' levels say nothing
    result = agreement(np.stack([rising, rising**3, falling]), clips)
    assert np.allclose(np.array(result, float), [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])


def test_a_member_with_equal_scores_agrees_with_none() -> None:
    table = agreement(np.stack([np.arange(4.0), np.zeros(4)]), pd.DataFrame({"id": ["00"] * 4}))
    assert table[0][1] is None
    assert table[0][0] == pytest.approx(1)


def test_an_id_with_one_clip_says_nothing_and_takes_nothing_away() -> None:
    clips = pd.DataFrame({"id": ["00"] * 4 + ["01"]})
    result = agreement(np.stack([np.arange(5.0), np.arange(5.0) ** 2]), clips)
    assert np.allclose(np.array(result, float), 1)


def test_the_most_and_the_least_alike_members_are_named() -> None:
    table = [[1.0, 0.9, -0.2], [0.9, 1.0, None], [-0.2, None, 1.0]]
    assert extremes(table) == {"most": (1, 2, 0.9), "least": (1, 3, -0.2)}
    assert extremes([[1.0, 0.9], [0.9, 1.0]]) == {}  # one pair is neither


def test_clips_that_most_members_get_wrong_come_first() -> None:
    clips = frame(["anomaly", "anomaly", "anomaly", "normal", "normal"])
    scores = np.array([[0, 0, 9, 9, 0.0], [0, 9, 9, 9, 0]])  # members, of limits 5
    together = np.array([4, 2, 9, 9, 0.0])  # the second is further below the limit
    found = worst_clips(clips, together, 5.0, scores, np.array([5.0, 5.0]))
    assert [(each["clip"], each["members"], each["ensemble"]) for each in found["missed"]] == [
        ("0.wav", 2, True),
        ("1.wav", 1, True),
    ]
    assert [(each["clip"], each["members"], each["ensemble"]) for each in found["false_alarms"]] == [("3.wav", 2, True)]


def test_each_member_has_its_own_limit_and_the_ensemble_one_too() -> None:
    clips = frame(["anomaly"])
    found = worst_clips(clips, np.array([4.0]), 3.0, np.array([[4.0], [4.0]]), np.array([5.0, 3.0]))
    (only,) = found["missed"]
    assert (only["members"], only["ensemble"]) == (1, False)


def test_of_equals_the_one_that_the_ensemble_is_most_wrong_about_is_first_and_the_list_is_short() -> None:
    clips = frame(["anomaly"] * 30)
    together = np.random.default_rng(0).permutation(30).astype(float)
    found = worst_clips(clips, together, 99.0, together[None], np.array([99.0]))
    assert [each["score"] for each in found["missed"]] == list(range(WORST))
