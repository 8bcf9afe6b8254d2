from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from asd_ray.ensembling.threshold import threshold
from asd_ray.errors import AsdRayError

Draw = Callable[[np.random.Generator, int], np.ndarray]


@pytest.mark.parametrize("percentile", [80.0, 90.0, 95.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_gamma_fit_lets_the_wished_share_of_new_normal_clips_exceed(percentile: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    limit = threshold(rng.gamma(3, 2, 400), percentile=percentile)
    assert limit.how == "gamma"
    share = (rng.gamma(3, 2, 20_000) > limit.value).mean()
    assert abs(share - (1 - percentile / 100)) < 0.05


def test_scores_of_an_ensemble_may_be_negative() -> None:
    rng = np.random.default_rng(0)
    scores = rng.gamma(3, 0.5, 300) - 1.5
    limit = threshold(scores)
    assert limit.how == "gamma"
    assert limit.value == pytest.approx(threshold(scores + 100).value - 100, abs=0.1)


SHAPES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "leaning to the left": lambda rng, n: -rng.gamma(2, 1, n),
    "of heavy tails": lambda rng, n: rng.standard_t(3, n),
    "of two kinds": lambda rng, n: np.concatenate([rng.normal(0, 0.1, n // 2), rng.normal(5, 0.1, n - n // 2)]),
    "over decades": lambda rng, n: rng.lognormal(0, 1.5, n),
    "even": lambda rng, n: rng.uniform(size=n),
}


@pytest.mark.parametrize("count", [8, 30, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_the_scores_about_a_tenth_of_them_exceed(shape: str, count: int) -> None:
    """A fit that went astray is not used: of three-parameter gamma fits many do."""
    for seed in range(5):
        scores = SHAPES[shape](np.random.default_rng(seed), count)
        limit = threshold(scores)
        assert np.isfinite(limit.value)
        assert abs((scores > limit.value).mean() - 0.1) <= 3 * (0.09 / count) ** 0.5 + 1 / count, (limit, seed)


def test_a_fit_that_went_astray_says_so() -> None:
    scores = -np.random.default_rng(0).gamma(2, 1, 200)
    limit = threshold(scores)
    assert limit.how == "empirical"
    assert limit.value == np.percentile(scores, 90)
    assert limit.note == "no gamma distribution fits these scores"


def test_empirical_is_the_percentile_itself() -> None:
    limit = threshold(np.arange(101.0), "empirical", 95)
    assert limit.to_json() == {"how": "empirical", "percentile": 95, "value": 95.0}


@pytest.mark.parametrize("scores", [[1.0], [2.0, 2.0, 2.0], [1.0, 2.0]])
def test_scores_that_no_distribution_fits_have_a_threshold_all_the_same(scores: list[float]) -> None:
    limit = threshold(scores)
    assert limit.how == "empirical"
    assert limit.note == "no gamma distribution fits these scores"
    assert limit.value == pytest.approx(np.percentile(scores, 90))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "gama"}, "unknown threshold 'gama'; did you mean 'gamma'"),
        ({"percentile": 0}, "must be above 0 and below 100 but got 0"),
        ({"percentile": 100}, "must be above 0 and below 100 but got 100"),
    ],
)
def test_nonsense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        threshold([1.0, 2.0], **options)


def test_no_normal_score_is_refused() -> None:
    with pytest.raises(AsdRayError, match="a threshold needs scores of normal clips but got none"):
        threshold([])
