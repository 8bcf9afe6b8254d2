from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.greedy import greedy
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.select import select
from asd_ray.ensembling.smooth_weights import SmoothValue, smooth_weights, weights_of
from asd_ray.ensembling.standardise import Standardiser
from tests.ensembling.conftest import make_clips, make_scores

UNIT = Standardiser("open_rank")
RECIPE = Recipe("r", "smooth_weights", k=6)


def test_planted_weights_are_found() -> None:
    """Independent normal scores: the best weights are in proportion to how far anomalies lie above normal clips."""
    strength = np.array([1.2, 0.8, 0.4, 0.0])
    clips = make_clips(400)
    weights = weights_of(make_scores(clips, strength, 3, shared=0.0), CellScorer(clips, 2022))
    np.testing.assert_allclose(weights / weights.sum(), strength / strength.sum(), atol=0.06)


@pytest.mark.parametrize(("maximise", "kinds"), [("hmean", {False, True}), ("auc", {False}), ("pauc", {True})])
def test_the_clips_of_cells_are_anomalies_and_normal_clips_of_one_id(maximise: str, kinds: set[bool]) -> None:
    clips = make_clips(10)
    cells = list(CellScorer(clips, 2022, maximise).clips_of_cells())
    assert {is_pauc for _, _, is_pauc in cells} == kinds
    for anomalies, normals, _ in cells:
        assert set(clips["label"].iloc[anomalies]) == {"anomaly"}
        assert set(clips["label"].iloc[normals]) == {"normal"}
        assert clips["id"].iloc[[*anomalies, *normals]].nunique() == 1


@pytest.mark.parametrize("maximise", ["hmean", "auc", "pauc"])
def test_the_slope_is_that_of_small_differences(maximise: str) -> None:
    clips = make_clips(10)
    scores = np.asarray(make_scores(clips, (1.0, 0.6, 0.3), 5), np.float64)
    smooth, weights = SmoothValue.of(CellScorer(clips, 2022, maximise)), np.array([0.5, 0.3, 0.2])
    width = 0.35 * (weights @ scores).std()

    def value(at: np.ndarray) -> float:
        """Pair by pair, of the width at `weights`."""
        cells, together = [], at @ scores
        for anomalies, normals, highest, is_pauc in smooth.cells:
            top = sorted(together[normals])[-highest:]
            share = np.mean([1 / (1 + np.exp((normal - together[a]) / width)) for a in anomalies for normal in top])
            cells.append(0.5 * (1 + (share * 0.1 - 0.005) / (0.1 - 0.005)) if is_pauc else share)
        return float(len(cells) / sum(1 / cell for cell in cells))

    step = 1e-5 * np.eye(3)
    expected = [(value(weights + each) - value(weights - each)) / 2e-5 for each in step]
    np.testing.assert_allclose(smooth.slope(scores, weights), expected, rtol=1e-5, atol=1e-8)
    assert len(smooth.cells) == {"hmean": 6, "auc": 4, "pauc": 2}[maximise]


def test_many_equal_candidates_keep_their_weights() -> None:
    """A thousandth is more than each of 2,500 equal weights."""
    clips = make_clips(5)
    weights = weights_of(np.repeat(make_scores(clips, (1.0,), 3), 2500, axis=0), CellScorer(clips, 2022))
    np.testing.assert_allclose(weights, 1 / 2500, rtol=0.1)


def test_scores_that_lie_very_far_apart_do_not_overflow() -> None:
    clips = make_clips(10)
    scores = np.asarray(make_scores(clips, (1.0, 0.5), 5), np.float64)
    scores[:, 0] = 1e6
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(SmoothValue.of(CellScorer(clips, 2022)).slope(scores, np.array([0.5, 0.5]))).all()


def test_on_fresh_clips_it_is_hardly_ever_below_greedy(candidates: Callable[..., Candidates]) -> None:
    rng, gains = np.random.default_rng(0), []
    for seed in range(8):
        strength = rng.uniform(0.0, 1.0, 24)
        given = candidates(strength, per=20, seed=seed, shared=0.3)
        evaluation = EvaluationSet.of(given, UNIT)
        clips = make_clips(150)
        fresh = evaluation.statistics(make_scores(clips, strength, 900 + seed, 0.3), clips)
        scorer = CellScorer(clips, 2022)
        values = [
            float(scorer((np.array(chosen.weights) @ fresh[list(chosen.members)])[None])[0])
            for chosen in (
                select(replace(RECIPE, k=50), given.table, evaluation.scores, evaluation.scorer),
                greedy(evaluation.scores, evaluation.scorer),
            )
        ]
        gains.append(values[0] - values[1])
    assert np.mean(gains) > 0
    assert min(gains) > -0.03


def test_weights_are_a_share_each_and_the_same_again(candidates: Callable[..., Candidates]) -> None:
    given = candidates((0.2, 1.4, 0.9, 0.5, 1.1, 0.7))
    evaluation = EvaluationSet.of(given, UNIT)
    chosen = select(RECIPE, given.table, evaluation.scores, evaluation.scorer)
    assert sum(chosen.weights) == pytest.approx(1, abs=0.004)  # each is rounded to thousandths
    assert min(chosen.weights) > 0
    assert list(chosen.weights) == sorted(chosen.weights, reverse=True)
    assert chosen == select(RECIPE, given.table, evaluation.scores, evaluation.scorer)
    together = np.array(chosen.weights) @ evaluation.scores[list(chosen.members)]
    assert chosen.trail[-1][1] == pytest.approx(float(evaluation.scorer(together[None])[0]))
    assert len(chosen.trail) == len(chosen.members)


def test_only_the_k_best_are_weighed(candidates: Callable[..., Candidates]) -> None:
    given = candidates((0.2, 1.4, 0.9, 0.5, 1.1, 0.7), per=60)
    evaluation = EvaluationSet.of(given, UNIT)
    chosen = select(replace(RECIPE, k=2), given.table, evaluation.scores, evaluation.scorer)
    assert set(chosen.members) == {1, 4}


def test_equal_candidates_weigh_the_same() -> None:
    clips = make_clips(20)
    scorer = CellScorer(clips, 2022)
    row = make_scores(clips, (1.0,), 1)[0]
    np.testing.assert_array_equal(weights_of(np.stack([row, row, row]), scorer), [0.333] * 3)


def test_one_candidate_has_all_the_weight() -> None:
    clips = make_clips(5)
    chosen = smooth_weights(np.asarray(make_scores(clips, (1.0,))), CellScorer(clips, None), [0])
    assert (chosen.members, chosen.weights) == ((0,), (1.0,))


def test_constant_candidates_and_ties_do_no_harm() -> None:
    clips = make_clips(20)
    scorer, good = CellScorer(clips, 2022), np.asarray(make_scores(clips, (2.0,), 1), np.float64)
    mixed = np.vstack([good, np.zeros(len(clips)), good.round()])
    weights = weights_of(mixed, scorer)
    assert np.isfinite(weights).all()
    assert weights[0] > 0
    assert weights_of(np.zeros((2, len(clips))), scorer).tolist() == [0.5, 0.5]
