import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from asd_ray.errors import AsdRayError
from asd_ray.metrics import auc, auc_batch, mauc, pauc, pauc_batch

DEGENERATE = {
    "perfect": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    "inverted": [5.0, 4.0, 3.0, 2.0, 1.0, 0.0],
    "constant": [7.0] * 6,
    "signed zeros": [-0.0, 0.0, -0.0, 0.0, -0.0, 0.0],
    "denormal": [0.0, 5e-324, -5e-324, 1e-323, -0.0, 5e-324],
    "neighbouring floats": list(np.nextafter(1.0, [0, 2, 0, 2, 0, 2])),
    "huge": [-1.7e308, 1.7e308, -1e300, 1e300, 0.0, 1.7e308],
    "one tie across the limit": [3.0, 3.0, 3.0, 3.0, 9.0, 3.0],
}
LABELS = np.array([0, 0, 0, 1, 1, 1])


@st.composite
def labelled_scores(draw, ties=True):
    """Labels of both classes and a few rows of finite scores, heavily tied if wanted."""
    clips = draw(st.integers(2, 40))
    labels = [0, 1, *draw(st.lists(st.integers(0, 1), min_size=clips - 2, max_size=clips - 2))]
    few = st.sampled_from([-1.5, -0.0, 0.0, 5e-324, 1.0, 1.0 + 2**-52, 1e9])
    score = few if ties else st.floats(-1e6, 1e6)
    rows = st.lists(st.lists(score, min_size=clips, max_size=clips), min_size=1, max_size=4)
    return np.array(labels), np.array(draw(rows))


@pytest.mark.parametrize("scores", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("max_fpr", [0.1, 0.5, 1.0])
def test_degenerate_scores_equal_sklearn(scores, max_fpr):
    assert auc(LABELS, scores) == pytest.approx(roc_auc_score(LABELS, scores), abs=1e-12)
    assert pauc(LABELS, scores, max_fpr) == pytest.approx(roc_auc_score(LABELS, scores, max_fpr=max_fpr), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(labelled_scores(ties=True) | labelled_scores(ties=False), st.sampled_from([0.05, 0.1, 1 / 3, 1.0]))
def test_batch_equals_sklearn_row_by_row(drawn, max_fpr):
    labels, scores = drawn
    expected = [[roc_auc_score(labels, row), roc_auc_score(labels, row, max_fpr=max_fpr)] for row in scores]
    ours = np.stack([auc_batch(labels, scores), pauc_batch(labels, scores, max_fpr)], axis=1)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(labelled_scores(ties=True))
def test_areas_do_not_change_under_increasing_maps(drawn):
    labels, scores = drawn
    stretched = np.sign(scores) * np.log1p(np.abs(scores.astype(np.float32)))  # ties what float32 cannot tell apart
    shifted = stretched * 4 + 0.5
    assert auc_batch(labels, shifted) == pytest.approx(auc_batch(labels, stretched))
    assert pauc_batch(labels, shifted) == pytest.approx(pauc_batch(labels, stretched))


@settings(max_examples=40, deadline=None)
@given(labelled_scores(ties=True))
def test_turning_scores_and_labels_round_keeps_auc(drawn):
    labels, scores = drawn
    np.testing.assert_allclose(auc_batch(1 - labels, -scores), auc_batch(labels, scores), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_many_candidates_over_many_chunks_equal_sklearn(dtype, decimals):
    rng = np.random.default_rng(decimals)
    labels = rng.integers(0, 2, 1200)
    scores = (rng.normal(size=(130, 1200)) * 50 + labels * 40).round(decimals).astype(dtype)
    some = [0, 53, 54, 55, 129]  # a chunk ends after 54 rows
    np.testing.assert_allclose(
        auc_batch(labels, scores)[some], [roc_auc_score(labels, scores[row]) for row in some], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        pauc_batch(labels, scores)[some],
        [roc_auc_score(labels, scores[row], max_fpr=0.1) for row in some],
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("highest", [3, 60, 10**6])
def test_unsigned_ranks_have_the_areas_of_the_same_floats(highest):
    draw = np.random.default_rng(0)
    labels, ranks = draw.permutation([0] * 40 + [1] * 20), draw.integers(0, highest, (2000, 60), dtype=np.uint32)
    for batch in (auc_batch, pauc_batch):
        np.testing.assert_allclose(batch(labels, ranks), batch(labels, ranks.astype(float)), rtol=0, atol=1e-12)


def test_scores_are_left_as_they_were():
    scores = np.array([[3.0, -0.0, 1.0, 2.0]])
    auc_batch([0, 1, 0, 1], scores)
    assert scores.tolist() == [[3.0, 0.0, 1.0, 2.0]]
    assert np.signbit(scores[0, 1])


def test_no_candidates_give_no_areas():
    assert auc_batch([0, 1], np.empty((0, 2))).shape == (0,)


def test_labels_may_be_the_words_of_the_clip_table():
    assert auc(["normal", "anomaly", "normal"], [0.1, 0.9, 0.2]) == 1.0


def test_mauc_is_the_worst_id():
    labels, scores, ids = [0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 1, 1], ["01", "01", "02", "02", "03", "03"]
    assert mauc(labels, scores, ids) == 0.0
    assert mauc(labels[4:], scores[4:], ids[4:]) == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_score_that_is_not_finite_is_named_by_candidate_and_clip(bad):
    scores = np.zeros((100, 1000))
    scores[77, 123] = bad
    labels = np.arange(1000) % 2
    with pytest.raises(AsdRayError, match=r"candidate 77 has the score (nan|-?inf) for clip 123"):
        auc_batch(labels, scores)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0, 0], [1, 2, 3], "none of the 3 clips is anomalous"),
        ([1, 1], [1, 2], "none of the 2 clips is normal"),
        ([0, 1, 2], [1, 2, 3], r"labels must be 0 \(normal\) or 1 \(anomaly\) but got 2"),
        (["normal", "anomaly", "unknown"], [1, 2, 3], "but got 'unknown'"),
        ([0, 1, 1], [1, 2], r"candidates x 3 clips but have the shape \(1, 2\)"),
        ([[0, 1]], [[1, 2]], "in one dimension"),
        ([0, 1], ["a", "b"], "scores must be numbers"),
    ],
)
def test_an_undefined_auc_is_an_error(labels, scores, message):
    with pytest.raises(AsdRayError, match=message):
        auc(labels, scores)


@pytest.mark.parametrize("max_fpr", [0.0, -0.1, 1.1, float("nan")])
def test_max_fpr_outside_its_range_is_refused(max_fpr):
    with pytest.raises(AsdRayError, match=r"max_fpr must be in \(0, 1\]"):
        pauc([0, 1], [0.0, 1.0], max_fpr)
