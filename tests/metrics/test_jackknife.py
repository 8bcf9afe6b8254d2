import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from asd_ray.errors import AsdRayError
from asd_ray.metrics import jackknife
from asd_ray.metrics.jackknife import leave_one_out


@pytest.mark.parametrize("decimals", [0, 1, 9])
@pytest.mark.parametrize("max_fpr", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("sizes", [(2, 2), (10, 3), (11, 20), (31, 14)])
def test_leaving_one_out_equals_scoring_the_rest(decimals, max_fpr, sizes):
    rng = np.random.default_rng(sum(sizes))
    labels = rng.permutation([0] * sizes[0] + [1] * sizes[1])
    scores = (rng.normal(size=len(labels)) + labels).round(decimals)
    theta, without = leave_one_out(labels, scores, max_fpr)
    rest = [
        roc_auc_score(np.delete(labels, clip), np.delete(scores, clip), max_fpr=max_fpr) for clip in range(len(labels))
    ]
    assert theta == pytest.approx(roc_auc_score(labels, scores, max_fpr=max_fpr), abs=1e-12)
    np.testing.assert_allclose(without, rest, rtol=0, atol=1e-12)


def test_interval_is_the_t_interval_of_the_pseudo_values():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 40)
    scores = rng.normal(size=40) + labels
    theta, without = leave_one_out(labels, scores)
    pseudo = 40 * theta - 39 * without
    ours = jackknife(labels, scores)
    assert ours.estimate == pytest.approx(pseudo.mean(), abs=1e-12)
    assert ours.half_width == pytest.approx(stats.t.ppf(0.975, 39) * stats.sem(pseudo), abs=1e-12)
    assert ours.official_half_width == pytest.approx(ours.half_width / 39, abs=1e-12)
    assert (ours.theta, ours.clips) == (theta, 40)


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 0, 1]])
def test_a_class_of_one_clip_cannot_be_left_out(labels):
    with pytest.raises(AsdRayError, match="at least two normal and two anomalous"):
        jackknife(labels, [0.1, 0.2, 0.3])
