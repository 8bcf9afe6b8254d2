from __future__ import annotations

import numpy as np
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.figures.index import TSne
from asd_ray.figures.t_sne import perplexity, plane, standardised


def two_clouds(dimensions: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, (20, dimensions)), rng.normal(20, 1, (20, dimensions))])


@pytest.mark.parametrize("dimensions", [1, 6])
def test_clouds_stay_apart_and_a_seed_gives_the_same_map(dimensions: int) -> None:
    values, settings = two_clouds(dimensions), TSne(10.0, 300)
    points = plane(values, settings, seed=3)
    assert points.shape == (40, 2)
    first, second = points[:20], points[20:]
    between = np.linalg.norm(first.mean(0) - second.mean(0))
    assert between > 2 * max(np.linalg.norm(part - part.mean(0), axis=1).max() for part in (first, second)) / 2
    np.testing.assert_array_equal(points, plane(values, settings, seed=3))


def test_few_clips_have_a_smaller_perplexity() -> None:
    assert [perplexity(count, TSne()) for count in (4, 31, 1000)] == [1.0, 10.0, 30.0]
    assert plane(two_clouds(3)[18:22], TSne(30.0, 250)).shape == (4, 2)


def test_what_cannot_be_mapped_is_refused() -> None:
    with pytest.raises(AsdRayError, match="at least 4 clips but got 3"):
        plane(two_clouds(3)[:3], TSne())
    with pytest.raises(AsdRayError, match="all 9 clips have the same embedding"):
        plane(np.ones((9, 3)), TSne())


def test_standardising_leaves_constant_columns_finite() -> None:
    values = standardised(np.column_stack([np.arange(5.0) * 1000, np.full(5, 7.0)]))
    np.testing.assert_allclose(values.std(0), [1, 0])
