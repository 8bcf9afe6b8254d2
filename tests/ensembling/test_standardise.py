from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling.standardise import HOW, LEAST, PER, Standardiser
from asd_ray.errors import AsdRayError


def frame(*groups: tuple[str, str, int]) -> pd.DataFrame:
    """Of (id, domain, count)s."""
    rows = [(each, domain) for each, domain, count in groups for _ in range(count)]
    return pd.DataFrame(rows, columns=["id", "domain"])


@pytest.fixture(autouse=True)
def _no_warning() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("per", PER)
@pytest.mark.parametrize("how", ["z", "robust"])
def test_each_group_of_normal_clips_comes_to_centre_0_and_deviation_1(per: str, how: str) -> None:
    rng = np.random.default_rng(0)
    clips = frame(("00", "source", 40), ("00", "target", 40), ("02", "source", 40), ("02", "target", 40))
    scores = rng.normal(size=(3, 160)) * 5 + 100 * np.arange(160).reshape(1, 4, 40)[:, :, :1].repeat(40, 2).reshape(
        1, -1
    )
    result = Standardiser(how, per, floor=0.0).learn(scores, clips)(scores, clips)
    parts = {"id": 2, "id_domain": 4, "machine": 1}[per]
    for part in np.split(result, parts, axis=1):
        centre = np.median(part, axis=1) if how == "robust" else part.mean(axis=1)
        scale = 1.4826 * np.median(np.abs(part), axis=1) if how == "robust" else part.std(axis=1)
        np.testing.assert_allclose(centre, 0, atol=1e-9)
        np.testing.assert_allclose(scale, 1, rtol=1e-9)


def test_a_group_of_few_clips_takes_the_statistics_of_the_machine() -> None:
    few = LEAST - 1
    clips = frame(("00", "source", 20), ("02", "source", few), ("04", "source", LEAST))
    scores = np.random.default_rng(0).normal(size=(2, len(clips)))
    result = Standardiser(floor=0.0).learn(scores, clips)
    assert result.groups == ("00", "04", "")
    expected = result(scores, clips)
    machine = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
    np.testing.assert_allclose(expected[:, 20 : 20 + few], machine[:, 20 : 20 + few])
    own = scores[:, -LEAST:]
    np.testing.assert_allclose(expected[:, -LEAST:], (own - own.mean(1, keepdims=True)) / own.std(1, keepdims=True))


@pytest.mark.parametrize("how", ["z", "robust", "rank"])
def test_a_group_that_was_not_learned_is_judged_as_the_machine(how: str) -> None:
    clips = frame(("00", "source", 20), ("02", "source", 20))
    scores = np.random.default_rng(0).normal(size=(2, 40))
    new = np.array([[0.3, -1.0], [0.1, 2.0]])
    strange, machine = frame(("06", "target", 2)), Standardiser(how, "machine").learn(scores, clips)
    np.testing.assert_allclose(Standardiser(how).learn(scores, clips)(new, strange), machine(new, strange))


def test_all_groups_may_be_small() -> None:
    clips = frame(("00", "source", 2), ("02", "source", 2))
    scores = np.array([[1.0, 2.0, 3.0, 4.0]])
    result = Standardiser().learn(scores, clips)
    assert result.groups == ("",)
    np.testing.assert_allclose(result(scores, clips), (scores - 2.5) / scores.std())


def test_a_deviation_counts_as_no_less_than_a_share_of_the_usual_one() -> None:
    clips = frame(("00", "source", 10), ("02", "source", 10), ("04", "source", 10))
    scores = np.tile([-1.0, 1.0], 15)[None] * np.repeat([1.0, 0.001, 2.0], 10)
    result = Standardiser(floor=0.1).learn(scores, clips)
    np.testing.assert_allclose(result.scale[0, :3], [1.0, 0.1, 2.0])
    np.testing.assert_allclose(Standardiser(floor=0.0).learn(scores, clips).scale[0, :3], [1.0, 0.001, 2.0])


@pytest.mark.parametrize("how", ["z", "robust"])
@pytest.mark.parametrize("per", PER)
def test_nearly_constant_scores_of_training_clips_do_not_explode(how: str, per: str) -> None:
    """A saturated classifier: all of its training scores are one number, but for the last digit of some."""
    clips = frame(("00", "source", 30), ("02", "source", 30))
    normal = np.full((1, 60), 0.9999, np.float32)
    normal[0, ::3] = np.nextafter(np.float32(0.9999), np.float32(2))
    test = np.array([[0.9, 5.0]], np.float32)
    for given in (normal, np.full((1, 60), 0.9999, np.float32), np.zeros((1, 60), np.float32)):
        result = Standardiser(how, per).learn(given, clips)(test, frame(("00", "source", 1), ("02", "source", 1)))
        assert np.abs(result).max() < 6, result


def test_one_nearly_constant_id_does_not_explode() -> None:
    clips = frame(("00", "source", 30), ("02", "source", 30), ("04", "source", 30))
    normal = np.random.default_rng(0).normal(size=(1, 90))
    normal[0, :30] *= 1e-5
    result = Standardiser(floor=0.1).learn(normal, clips)(np.array([[1.0]]), frame(("00", "source", 1)))
    assert 5 < result[0, 0] < 15


def test_a_robust_unit_does_not_hear_outliers() -> None:
    clips = frame(("00", "source", 100))
    normal = np.random.default_rng(0).normal(size=(1, 100))
    normal[0, :10] = 1e4
    robust, plain = (Standardiser(how).learn(normal, clips).scale[0, 0] for how in ("robust", "z"))
    assert 0.8 < robust < 1.5
    assert plain > 1000


def test_rank_is_the_share_of_normal_clips_below_ties_counted_half() -> None:
    clips = frame(("00", "source", 5), ("02", "source", 5))
    normal = np.array([[1.0, 2.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0, 50.0]])
    result = Standardiser("rank").learn(normal, clips)
    near = result([[0.0, 2.0, 2.5, 9.0]], frame(("00", "source", 4)))
    np.testing.assert_allclose(near, [[0.0, 0.4, 0.6, 1.0]])
    np.testing.assert_allclose(result([[9.0, 20.0, 99.0]], frame(("02", "source", 3))), [[0.0, 0.3, 1.0]])
    mapped = Standardiser("rank").learn(np.exp(normal / 10), clips)
    np.testing.assert_allclose(mapped(np.exp(np.array([[0.0, 2.0, 2.5, 9.0]]) / 10), frame(("00", "source", 4))), near)


def test_none_leaves_scores_as_they_are() -> None:
    clips = frame(("00", "source", 6))
    given = np.arange(6.0)[None]
    np.testing.assert_array_equal(Standardiser("none").learn(given, clips)(given, clips), given)


def test_by_id_and_domain_a_domains_offset_goes() -> None:
    clips = frame(("00", "source", 20), ("00", "target", 20))
    normal = np.random.default_rng(0).normal(size=(1, 40)) + np.repeat([0.0, 50.0], 20)
    by_domain, by_id = (Standardiser(per=per).learn(normal, clips)(normal, clips) for per in ("id_domain", "id"))
    assert abs(by_domain[0, :20].mean() - by_domain[0, 20:].mean()) < 1e-9
    assert by_id[0, 20:].mean() - by_id[0, :20].mean() > 1.9


def test_taking_candidates_takes_their_statistics() -> None:
    clips = frame(("00", "source", 10), ("02", "source", 10))
    normal = np.random.default_rng(0).normal(size=(4, 20))
    for how in HOW:
        result = Standardiser(how).learn(normal, clips)
        np.testing.assert_array_equal(result.take([2, 0])(normal[[2, 0]], clips), result(normal, clips)[[2, 0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "zz"}, "unknown way to standardise 'zz'; did you mean 'z'"),
        ({"per": "ids"}, "unknown group to standardise by 'ids'; did you mean 'id'"),
        ({"floor": -0.1}, r"floor of a standardiser must be in \[0, 1\] but got -0.1"),
        ({"floor": 2}, r"floor of a standardiser must be in \[0, 1\] but got 2"),
    ],
)
def test_nonsense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        Standardiser(**options)


def test_no_normal_clip_is_refused() -> None:
    with pytest.raises(AsdRayError, match="cannot be standardised by no clips; give normal clips"):
        Standardiser().learn(np.empty((2, 0)), frame())


def test_an_open_rank_is_the_rank_and_goes_on_beyond_the_normal_scores() -> None:
    clips = frame(("00", "source", 5), ("02", "source", 5))
    normal = np.array([[1.0, 2.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0, 50.0]])
    given, of_one = np.array([[1.0, 2.0, 2.5, 4.0, 0.0, 9.0, 90.0]]), frame(("00", "source", 7))
    result, rank = (Standardiser(how).learn(normal, clips) for how in ("open_rank", "rank"))
    shares, scale = rank(given, of_one), result.scale[0, 0]
    np.testing.assert_allclose(result(given, of_one)[0, :4], shares[0, :4])
    beyond = [-np.log1p(1 / scale), 1 + np.log1p(5 / scale), 1 + np.log1p(86 / scale)]
    np.testing.assert_allclose(result(given, of_one)[0, 4:], beyond)
    assert shares[0, 5] == shares[0, 6]


def test_an_open_rank_keeps_the_order_of_all_scores_that_differ() -> None:
    rng = np.random.default_rng(0)
    clips = frame(("00", "source", 20))
    result = Standardiser("open_rank").learn(rng.normal(size=(3, 20)), clips)
    outside = np.sort(np.concatenate([rng.uniform(3, 60, (3, 40)), -rng.uniform(3, 60, (3, 40))], axis=1), axis=1)
    assert (np.diff(result(outside, frame(("00", "source", 80))), axis=1) > 0).all()


def test_among_the_clips_themselves_an_open_rank_is_the_rank_within_the_id() -> None:
    """As imported systems are standardised, which have no scores of normal clips."""
    clips = frame(("00", "source", 20), ("02", "source", 20))
    scores = np.random.default_rng(0).normal(size=(2, 40)) ** 3
    result = Standardiser("open_rank").learn(scores, clips)(scores, clips)
    for own in (slice(20), slice(20, 40)):
        np.testing.assert_allclose(result[:, own], (scores[:, own].argsort().argsort() + 0.5) / 20)
