"""Members that are measured on a fold are chosen without that fold."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_ray.ensembling import protocols
from asd_ray.ensembling.bootstrap import interval, resampled
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer, strata_of
from asd_ray.ensembling.combine import WAYS, combine
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.protocols import _base, measure
from asd_ray.ensembling.protocols.cross_id import left_out_ids
from asd_ray.ensembling.protocols.crossval import folds_of
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.select import select
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError

GREEDY = Recipe("greedy", "greedy", size=10)
SETS = 30  # simulated searches
RECIPES = (
    Recipe("best", "best"),
    Recipe("slots", "slots", slots=(Slot("idnn"), Slot("group_made"))),
    Recipe("best_per_family", "best_per_family"),
    Recipe("top_k", "top_k", k=3),
    GREEDY,
    Recipe("greedy_max", "greedy", ("max",), size=5),
    Recipe("bagged", "greedy", size=5, bags=3),
    Recipe("optuna_weights", "optuna_weights", k=3, trials=8),
    Recipe("smooth_weights", "smooth_weights"),
)


@pytest.fixture
def noise(candidates: Callable[..., Candidates]) -> EvaluationSet:
    """120 candidates that know nothing: whatever is above 0.5 is luck or a leak."""
    return EvaluationSet.of(candidates([0.0] * 120, per=25, shared=0.0), Standardiser(), "auc")


@pytest.fixture
def evaluation(candidates: Callable[..., Candidates]) -> EvaluationSet:
    return EvaluationSet.of(candidates((0.2, 1.4, 0.9, 0.5, 1.1, 0.7)), Standardiser())


def test_of_pure_noise_oracle_finds_much_and_crossval_nothing(noise: EvaluationSet) -> None:
    oracle, crossval = measure(noise, GREEDY, "oracle"), measure(noise, GREEDY, "crossval")
    low, high = interval(resampled(crossval.scores, noise.scorer, draws=300))
    assert oracle.value > 0.65, f"oracle {oracle.value:.3f}"
    assert low <= 0.5 <= high, f"crossval {crossval.value:.3f} in [{low:.3f}, {high:.3f}]"
    assert abs(crossval.value - 0.5) < 0.06


def test_a_planted_leak_would_be_seen(noise: EvaluationSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power of the test above: the same number, chosen with the labels of the clips held out, is far too good."""
    monkeypatch.setattr(
        _base,
        "select_without",
        lambda evaluation, recipe, held, seed: select(
            recipe, evaluation.candidates.table, evaluation.scores, evaluation.scorer, seed=seed
        ),
    )
    leaking = measure(noise, GREEDY, "crossval")
    low, _ = interval(resampled(leaking.scores, noise.scorer, draws=300))
    assert leaking.value > 0.62
    assert low > 0.5


def spoilt(evaluation: EvaluationSet, held: np.ndarray) -> EvaluationSet:
    """The same but for the clips held out: their labels turned around, their scores replaced."""
    labels = evaluation.scorer.clips["label"].to_numpy().astype(object)
    labels[held] = np.where(labels[held] == "normal", "anomaly", "normal")
    scores = evaluation.scores.copy()
    scores[:, held] = np.random.default_rng(9).normal(size=(len(scores), held.sum())) * 50
    scorer = CellScorer(
        evaluation.scorer.clips.assign(label=labels), evaluation.scorer.year, evaluation.scorer.maximise
    )
    return replace(evaluation, scores=scores, scorer=scorer)


@pytest.mark.parametrize("how", WAYS)
def test_where_every_clip_has_a_label_these_alone_are_combined(evaluation: EvaluationSet, how: str) -> None:
    chosen = Selection((2, 0, 3), (1.0, 2.0, 1.0))
    own = ensemble_scores(evaluation, Recipe("r", "top_k", (how,)), chosen, evaluation.all_clips, rescaled=False)
    np.testing.assert_array_equal(own, combine(evaluation.scores[[2, 0, 3]], how, [1.0, 2.0, 1.0]))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_what_is_held_out_has_no_say_in_what_is_chosen(evaluation: EvaluationSet, recipe: Recipe) -> None:
    chosen = measure(evaluation, recipe, "crossval", EnsembleConfig(repeats=1, folds=3)).selections
    differs = 0
    for fold, held in enumerate(folds_of(evaluation.scorer, 3, 0)):
        other = spoilt(evaluation, held)
        assert _base.select_without(other, recipe, held, 0) == chosen[fold]
        leak = select(recipe, other.candidates.table, other.scores, other.scorer)
        differs += leak != chosen[fold]
    assert differs  # to choose with what was spoilt would be another choice


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_an_id_left_out_has_no_say_either(evaluation: EvaluationSet, recipe: Recipe) -> None:
    chosen = measure(evaluation, recipe, "cross_id").selections
    for fold, held in enumerate(left_out_ids(evaluation.ids)):
        assert _base.select_without(spoilt(evaluation, held), recipe, held, 0) == chosen[fold]


def frame_of(counts: dict[tuple[str, str, str], int]) -> pd.DataFrame:
    return pd.DataFrame([key for key, count in counts.items() for _ in range(count)], columns=["id", "domain", "label"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 17), min_size=8, max_size=8), st.integers(2, 6), st.integers(0, 99))
def test_folds_part_the_clips_and_spread_id_domain_and_label_evenly(counts: list[int], folds: int, seed: int) -> None:
    keys = [(i, d, label) for i in ("00", "02") for d in ("source", "target") for label in ("normal", "anomaly")]
    scorer = CellScorer(frame_of(dict(zip(keys, counts, strict=True))), 2022)
    held = list(folds_of(scorer, folds, seed))
    assert len(held) == min(folds, *counts)
    assert (np.sum(held, axis=0) == 1).all()
    sizes = [fold.sum() for fold in held]
    assert max(sizes) - min(sizes) <= 1
    for rows in strata_of(scorer.clips).values():
        share = [fold[rows].sum() for fold in held]
        assert max(share) - min(share) <= 1
        assert max(share) < len(rows)  # something to choose by is left


def test_repeats_draw_other_folds_and_a_seed_the_same(evaluation: EvaluationSet) -> None:
    one = measure(evaluation, GREEDY, "crossval", EnsembleConfig(repeats=2, seed=1))
    assert (one.scores[0] != one.scores[1]).any()
    assert len(one.selections) == 10
    assert one.value == pytest.approx(one.values.mean())
    again = measure(evaluation, GREEDY, "crossval", EnsembleConfig(repeats=2, seed=1))
    np.testing.assert_array_equal(one.scores, again.scores)
    assert measure(evaluation, GREEDY, "crossval", EnsembleConfig(repeats=2, seed=5)).value != one.value


def test_a_single_candidate_is_worth_the_same_under_every_protocol(candidates: Callable[..., Candidates]) -> None:
    """With nothing to choose from there is nothing to be fooled by: folds may not change the number."""
    evaluation = EvaluationSet.of(candidates((1.0,)), Standardiser())
    oracle = measure(evaluation, Recipe("best", "best"), "oracle").value
    for protocol in ("crossval", "cross_id"):
        assert measure(evaluation, Recipe("best", "best"), protocol).value == pytest.approx(oracle, abs=1e-9)


def test_folds_of_different_members_are_put_into_one_unit(
    candidates: Callable[..., Candidates], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two equally good candidates of very different units, unstandardised, that folds choose in turn."""
    few = candidates((1.5, 1.5), per=40)
    unit = np.array([[1.0], [1000.0]], np.float32)
    few = replace(few, scores=few.scores * unit + 7 * unit, normal_scores=few.normal_scores * unit + 7 * unit)
    evaluation = EvaluationSet.of(few, Standardiser("none"), "auc")
    turns = itertools.cycle((Selection((0,), (1.0,)), Selection((1,), (1.0,))))
    monkeypatch.setattr(_base, "select_without", lambda *_: next(turns))
    alone = float(evaluation.scorer(evaluation.scores).mean())
    assert abs(measure(evaluation, Recipe("best", "best"), "crossval").value - alone) < 0.05
    raw = evaluation.scores[np.arange(evaluation.scores.shape[1]) % 2, np.arange(evaluation.scores.shape[1])]
    assert float(evaluation.scorer(raw[None])[0]) < alone - 0.1  # what a mixture of units would be worth


def test_how_far_test_clips_lie_from_training_clips_is_no_reason_to_gain_over_the_best_single(
    candidates: Callable[..., Candidates],
) -> None:
    """Six equally good detectors, whose test scores lie 0, 3, 6 … deviations above those of the clips that standardise:
    any one of them is worth what the best is, and folds that choose differently must still fit together."""
    gains = []
    for seed in range(6):
        few = candidates([1.0] * 6, per=40, seed=seed, shared=0.4)
        shifted = replace(few, scores=(few.scores + 3 * np.arange(6)[:, None]).astype(np.float32))
        evaluation = EvaluationSet.of(shifted, Standardiser())
        fixed = float(evaluation.scorer(evaluation.scores[:1])[0])
        gains.append(fixed - measure(evaluation, Recipe("best", "best"), "crossval").value)
    assert np.mean(gains) < 0.015, gains


def test_cross_id_leaves_out_each_id_once(evaluation: EvaluationSet) -> None:
    measurement = measure(evaluation, GREEDY, "cross_id")
    assert len(measurement.selections) == 2
    assert measurement.scores.shape == (1, len(evaluation.ids))


def test_cross_id_of_one_id_says_what_to_use(candidates: Callable[..., Candidates]) -> None:
    evaluation = EvaluationSet.of(candidates(ids=("00",)), Standardiser())
    assert not protocols.find("cross_id").possible(evaluation, GREEDY)
    with pytest.raises(AsdRayError, match="cross_id chooses on other ids, and this machine has one; use crossval"):
        measure(evaluation, GREEDY, "cross_id")


def test_crossval_needs_two_clips_of_each_kind(candidates: Callable[..., Candidates]) -> None:
    those = candidates()
    few = those.clips[~((those.clips["id"] == "02") & (those.clips["domain"] == "target"))].index.tolist() + [120]
    those = replace(
        those,
        clips=those.clips.loc[few].reset_index(drop=True),
        scores=those.scores[:, few],
    )
    evaluation = EvaluationSet.of(replace(those, year=2020), Standardiser())
    assert not protocols.find("crossval").possible(evaluation, GREEDY)
    with pytest.raises(AsdRayError, match="2 clips or more of each id, domain and label but 02/target/normal has 1"):
        measure(evaluation, GREEDY, "crossval")


def test_one_fold_is_none(evaluation: EvaluationSet) -> None:
    with pytest.raises(AsdRayError, match="crossval needs 2 folds or more but got 1"):
        list(folds_of(evaluation.scorer, 1, 0))


def test_an_unknown_protocol_has_a_guess(evaluation: EvaluationSet) -> None:
    with pytest.raises(AsdRayError, match="unknown protocol 'crosval'; did you mean 'crossval'"):
        measure(evaluation, GREEDY, "crosval")


def test_what_is_chosen_by_labels_cannot_be_called_label_free(evaluation: EvaluationSet) -> None:
    with pytest.raises(AsdRayError, match="recipe greedy chooses by labels, so no number of it is label_free"):
        measure(evaluation, GREEDY, "label_free")


def test_a_group_without_normal_clips_is_judged_in_the_machines_unit(candidates: Callable[..., Candidates]) -> None:
    few = candidates()
    known = np.flatnonzero(few.normal["id"] == "00")
    few = replace(few, normal=few.normal.iloc[known].reset_index(drop=True), normal_scores=few.normal_scores[:, known])
    evaluation = EvaluationSet.of(few, Standardiser())
    assert np.isfinite(evaluation.scores).all()
    assert 0.5 < measure(evaluation, GREEDY, "crossval").value <= 1


def test_with_a_known_truth_crossval_is_right_and_oracle_is_not(
    clips: Callable[..., pd.DataFrame], scores: Callable[..., np.ndarray]
) -> None:
    """30 searches of 40 correlated candidates on few clips. The truth is what the very ensembles that the folds chose
    are worth on 25 times as many clips: crossval must be right on average and within its interval; oracle is not."""
    draw, few, many, normal = np.random.default_rng(0), clips(20), clips(500), clips(100, "held_out")
    errors: dict[str, list[float]] = {"oracle": [], "crossval": []}
    covered = 0
    for seed in range(SETS):
        strength = draw.normal(0.7, 0.3, 40)
        result = Candidates(
            "fan",
            pd.DataFrame(
                {
                    "trial": [f"t{i}" for i in range(40)],
                    "family": "idnn",
                    "paper": False,
                    "peeked": False,
                    "params": [{}] * 40,
                }
            ),
            few,
            scores(few, strength, 3 * seed, 0.5),
            normal,
            scores(normal, strength, 3 * seed + 1, 0.5),
            "held_out",
            "demo",
            "",
            2022,
        )
        evaluation = EvaluationSet.of(result, Standardiser())
        large = EvaluationSet.of(
            replace(result, clips=many, scores=scores(many, strength, 3 * seed + 2, 0.5)), Standardiser()
        )
        whole = np.ones(len(many), bool)
        oracle, crossval = (
            measure(evaluation, GREEDY, "oracle"),
            measure(evaluation, GREEDY, "crossval", EnsembleConfig(repeats=2, seed=seed)),
        )

        def true(*chosen: Selection, large: EvaluationSet = large, whole: np.ndarray = whole) -> float:
            every = [ensemble_scores(large, GREEDY, each, whole, rescaled=False) for each in chosen]
            return float(large.scorer(np.stack(every)).mean())

        truth = true(*crossval.selections)
        errors["oracle"].append(oracle.value - true(*oracle.selections))
        errors["crossval"].append(crossval.value - truth)
        low, high = interval(resampled(crossval.scores, evaluation.scorer, draws=200, seed=seed))
        covered += low <= truth <= high
    mean = {name: float(np.mean(each)) for name, each in errors.items()}
    error = {name: float(np.std(each) / SETS**0.5) for name, each in errors.items()}
    expected = ", ".join(f"{name} is off by {mean[name]:+.4f} ± {error[name]:.4f}" for name in errors)
    expected += f"; {covered} of {SETS} crossval intervals hold the truth"
    assert abs(mean["crossval"]) < 2.5 * error["crossval"], expected
    assert abs(mean["crossval"]) < 0.4 * mean["oracle"], expected
    assert mean["oracle"] > 4 * error["oracle"], expected
    assert covered >= 0.85 * SETS, expected
