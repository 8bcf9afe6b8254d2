import numpy as np
import pytest
from scipy import stats

from asd_ray.errors import AsdRayError
from asd_ray.metrics import hmean


def test_harmonic_mean_equals_scipys():
    values = np.random.default_rng(0).uniform(0.01, 1, (7, 5))
    assert hmean(values) == pytest.approx(stats.hmean(values, axis=None), abs=1e-15)
    np.testing.assert_allclose(hmean(values, axis=1), stats.hmean(values, axis=1), rtol=0, atol=1e-15)


def test_zero_counts_as_the_float_epsilon():
    assert hmean([0.0, 1.0]) == pytest.approx(stats.hmean([np.finfo(float).eps, 1.0]), rel=1e-12)


def test_no_value_has_no_harmonic_mean():
    with pytest.raises(AsdRayError, match="at least one value"):
        hmean([])
