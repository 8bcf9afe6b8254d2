from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asd_ray.ensembling.combine import WAYS, combine
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError
from asd_ray.metrics import auc

LEVELS = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 1.5, 3.0])  # few, so that scores tie
SCORES = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=LEVELS)
FINE = st.floats(-1e3, 1e3, allow_subnormal=False)


def close(one: object, other: object) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@given(SCORES, st.sampled_from(sorted(WAYS)), st.data())
def test_the_order_of_members_does_not_matter(scores: np.ndarray, how: str, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(scores))))
    weights = np.array(data.draw(st.lists(st.integers(1, 5), min_size=len(scores), max_size=len(scores))))
    close(combine(scores[order], how, weights[order]), combine(scores, how, weights))


@given(st.sampled_from(sorted(WAYS)), st.sampled_from(["z", "robust"]), st.data())
def test_under_z_a_members_unit_and_offset_do_not_matter(how: str, by: str, data: st.DataObject) -> None:
    """scores -> a × scores + b with a > 0, for each member another."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    members = data.draw(st.integers(1, 4))
    a = np.array(data.draw(st.lists(st.floats(1e-4, 1e4), min_size=members, max_size=members)))[:, None]
    b = a * np.array(data.draw(st.lists(FINE, min_size=members, max_size=members)))[:, None]
    frame = pd.DataFrame({"id": np.repeat(["00", "01"], 10), "domain": "source"})
    normal, test = rng.normal(size=(members, 20)), rng.normal(size=(members, 20))
    standard = Standardiser(by)
    plain = combine(standard.learn(normal, frame)(test, frame), how)
    moved = combine(standard.learn(a * normal + b, frame)(a * test + b, frame), how)
    np.testing.assert_allclose(moved, plain, rtol=1e-6, atol=1e-6)


@given(SCORES)
def test_max_is_nowhere_below_mean_and_median_nor_these_below_min(scores: np.ndarray) -> None:
    combined = {how: combine(scores, how) for how in WAYS}
    for middle in (combined["mean"], combined["median"]):
        assert (combined["max"] >= middle - 1e-12).all()
        assert (middle >= combined["min"] - 1e-12).all()


@given(SCORES, st.data())
def test_a_copy_of_every_member_changes_no_way_and_a_copy_of_one_is_weight_two(
    scores: np.ndarray, data: st.DataObject
) -> None:
    """A copy of one member alone does count: it then has twice the say. It changes nothing where it is the only one."""
    one = data.draw(st.integers(0, len(scores) - 1))
    weights = np.ones(len(scores))
    weights[one] = 2
    for how in WAYS:
        close(combine(np.vstack([scores, scores]), how), combine(scores, how))
        close(combine(np.vstack([scores, scores[one]]), how), combine(scores, how, weights))
        close(combine(scores[[one, one]], how), combine(scores[[one]], how))


def test_a_copy_of_one_of_two_members_moves_the_rank_mean() -> None:
    scores = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    close(combine(scores, "rank_mean"), [0.5, 0.25, 0.75])
    close(combine(scores[[0, 1, 0]], "rank_mean"), [1 / 3, 1 / 3, 5 / 6])


@given(arrays(np.float64, st.integers(4, 30), elements=FINE), st.integers(0, 99))
def test_auc_does_not_hear_a_monotone_map(values: np.ndarray, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.arange(len(values)) % 2)
    mapped = np.arctan(values / 1e3) * 7 - 3
    assume(len(np.unique(mapped)) == len(np.unique(values)))  # else the map was not strict in floating point
    assert auc(labels, mapped) == auc(labels, values)


@given(SCORES)
def test_one_rank_is_scipys(scores: np.ndarray) -> None:
    clips = scores.shape[1]
    expected = np.mean([(scipy.stats.rankdata(row) - 1) / max(1, clips - 1) for row in scores], axis=0)
    close(combine(scores, "rank_mean"), expected)


@given(SCORES)
def test_equal_weights_give_numpys_mean_and_median(scores: np.ndarray) -> None:
    close(combine(scores, "mean", np.full(len(scores), 0.3)), scores.mean(axis=0))
    close(combine(scores, "median", np.full(len(scores), 0.3)), np.median(scores, axis=0))


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [2.5, 0.0]), ("max", [4.0, 2.0]), ("min", [1.0, -2.0]), ("median", [2.5, 0.0])],
)
def test_a_member_of_weight_zero_does_not_take_part(how: str, expected: list[float]) -> None:
    close(combine([[1, 2], [99, -99], [4, -2]], how, [1, 0, 1]), expected)


def test_weights_shift_mean_and_median() -> None:
    scores = [[0.0], [10.0], [20.0]]
    close(combine(scores, "mean", [2, 1, 1]), [7.5])
    close(combine(scores, "median", [2, 1, 1]), [5.0])
    close(combine(scores, "median", [3, 1, 1]), [0.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("how", sorted(WAYS))
def test_a_score_that_is_missing_names_member_and_clip(bad: float, how: str) -> None:
    with pytest.raises(AsdRayError, match=r"member fan-idnn-0002 mse has the score (nan|-?inf) for clip b.wav; leave"):
        combine([[1, 2], [3, bad]], how, names=["fan-idnn-0001 mse", "fan-idnn-0002 mse"], clips=["a.wav", "b.wav"])
    with pytest.raises(AsdRayError, match="member 1 .* for clip 1"):
        combine([[1, 2], [3, bad]], how)


def test_an_unknown_way_has_a_guess() -> None:
    with pytest.raises(AsdRayError, match="unknown way to combine 'meen'; did you mean 'mean'"):
        combine([[1, 2]], "meen")


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [np.nan, 1]])
def test_weights_that_cannot_be_are_refused(weights: list[float]) -> None:
    with pytest.raises(AsdRayError, match="weights must be one number per member, 0 or more, and not all 0"):
        combine([[1, 2], [3, 4]], "mean", weights)


@pytest.mark.parametrize("scores", [[], [1, 2], np.empty((0, 3))])
def test_no_member_is_no_ensemble(scores: object) -> None:
    with pytest.raises(AsdRayError, match="an ensemble combines .* of one member or more"):
        combine(scores, "mean")
