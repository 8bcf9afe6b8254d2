import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from asd_ray.errors import AsdRayError
from asd_ray.metrics import detection, f1


@pytest.mark.parametrize("decided", ["some", "all", "none"])
def test_detection_equals_sklearn(decided):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    decisions = {"some": rng.integers(0, 2, 60), "all": np.ones(60, int), "none": np.zeros(60, int)}[decided]
    ours = detection(labels, decisions)
    scores = (precision_score, recall_score, f1_score)
    assert ours == pytest.approx([score(labels, decisions, zero_division=0) for score in scores], abs=1e-12)


def test_f1_counts_scores_above_the_threshold():
    assert f1([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9], 0.5) == pytest.approx(2 / 3)  # one hit, one miss, no false alarm


def test_decisions_must_be_one_a_clip():
    with pytest.raises(AsdRayError, match="3 labels but 2 decisions"):
        detection([0, 1, 1], [0, 1])
