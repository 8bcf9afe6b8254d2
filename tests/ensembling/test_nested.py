"""nested: the choice among recipes is made inside the folds, so its number is no best of many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asd_ray.ensembling import EnsembleConfig, Recipe, combine
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.protocols import NESTED, measure, nested
from asd_ray.ensembling.protocols._base import select_whole
from asd_ray.ensembling.protocols.crossval import folds_of
from asd_ray.ensembling.recipe import Slot
from asd_ray.ensembling.standardise import Standardiser
from tests.ensembling.conftest import half_labelled, make_candidates, make_clips, make_scores
from tests.ensembling.test_protocols import spoilt

CONFIG = EnsembleConfig(repeats=1, folds=3, draws=20)
SETS = 30
ALL_MEANS = (
    Recipe("best", "best"),
    Recipe("best_per_family", "best_per_family"),
    Recipe("greedy", "greedy", size=6),
    Recipe("label_free", "label_free"),
    Recipe("top_3", "top_k", k=3),
    Recipe("top_9", "top_k", k=9),
)


def entries_of(candidates: Candidates) -> list[nested.Entry]:
    evaluation = EvaluationSet.of(candidates, Standardiser())
    return [(evaluation, recipe) for recipe in ALL_MEANS]


def test_over_30_searches_nested_is_right_and_oracle_is_not() -> None:
    """The truth is what the ensembles that the folds chose are worth on 10 times as many fresh clips."""
    draw, many = np.random.default_rng(1), make_clips(200)
    errors: dict[str, list[float]] = {"oracle": [], "nested": []}
    for seed in range(SETS):
        strength = draw.normal(0.6, 0.3, 24)
        candidates = make_candidates(strength.tolist(), seed=seed)
        entries = entries_of(candidates)
        large = EvaluationSet.of(
            replace(candidates, clips=many, scores=make_scores(many, strength, 20_000 + seed)), Standardiser()
        )
        number = NESTED.measure(entries, replace(CONFIG, seed=seed))
        truths = [
            float(large.scorer(ensemble_scores(large, ALL_MEANS[0], chosen, large.all_clips, rescaled=False)[None])[0])
            for chosen in number.selections
        ]
        errors["nested"].append(number.value - float(np.mean(truths)))
        oracles = [measure(evaluation, recipe, "oracle") for evaluation, recipe in entries]
        best = max(oracles, key=lambda each: each.value)
        true = ensemble_scores(large, ALL_MEANS[0], best.selections[0], large.all_clips, rescaled=False)
        errors["oracle"].append(best.value - float(large.scorer(true[None])[0]))
    mean = {name: float(np.mean(own)) for name, own in errors.items()}
    error = {name: float(np.std(own, ddof=1) / SETS**0.5) for name, own in errors.items()}
    assert abs(mean["nested"]) < 2 * error["nested"], (mean, error)
    assert mean["oracle"] > 4 * error["oracle"], (mean, error)


def test_of_pure_noise_the_best_crossval_is_above_chance_and_nested_is_not() -> None:
    """18 recipes of candidates that know nothing: the best of them looks good, the choice of it does not."""
    best, chosen = [], []
    for seed in range(8):
        evaluation = EvaluationSet.of(make_candidates([0.0] * 30, seed=seed, shared=0.0), Standardiser(), "auc")
        ways = (("mean",), ("max",), ("min",))
        entries = [(evaluation, Recipe(f"top_{k}", "top_k", how, k=k)) for k in range(1, 7) for how in ways]
        best.append(max(measure(evaluation, recipe, "crossval", CONFIG).value for _, recipe in entries))
        chosen.append(NESTED.measure(entries, CONFIG).value)
    assert np.mean(best) - np.mean(chosen) > 0.02
    assert abs(np.mean(chosen) - 0.5) < 3 * np.std(chosen, ddof=1) / 8**0.5


def test_the_fold_left_out_has_no_say_in_the_recipe_nor_in_the_members() -> None:
    evaluation = EvaluationSet.of(make_candidates((0.2, 1.4, 0.9, 0.5, 1.1, 0.7)), Standardiser())
    entries = [(evaluation, recipe) for recipe in ALL_MEANS]
    chosen = NESTED.measure(entries, CONFIG).selections
    for number, left_out in enumerate(folds_of(evaluation.scorer, 3, 0)):
        changed = spoilt(evaluation, left_out)
        other = [(changed, recipe) for recipe in ALL_MEANS]
        whole = [nested._without_labels(each, recipe, CONFIG) for each, recipe in other]
        (_, recipe), selection = nested._choose(other, whole, left_out, CONFIG)
        assert selection == chosen[number], recipe.name


def test_inside_a_fold_ranks_are_among_its_own_clips_and_those_without_a_label() -> None:
    given = make_candidates((0.2, 1.4, 0.9))
    given = replace(given, clips=half_labelled(given.clips))
    evaluation = EvaluationSet.of(given, Standardiser())
    left_out = next(folds_of(evaluation.scorer, 3, 0))
    ranks, chosen = Recipe("ranks", "top_k", ("rank_mean",), k=3), Selection((0, 1, 2), (1.0, 1.0, 1.0))
    sub = nested._sub(evaluation, [ranks], ~left_out)
    own = ensemble_scores(sub, ranks, chosen, sub.all_clips, rescaled=False)
    stay = np.setdiff1d(np.arange(len(given.clips)), evaluation.rows[left_out])
    expected = combine(evaluation.statistics(given.scores[:, stay], given.clips.iloc[stay]), "rank_mean")
    np.testing.assert_array_equal(own, expected[np.isin(stay, evaluation.rows)])


def test_candidates_that_a_recipe_may_need_stay_in_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nested, "POOL", 3)
    monkeypatch.setattr(nested, "POOL_OF_GROUP", 1)
    evaluation = EvaluationSet.of(make_candidates([0.0, 1.5] * 10), Standardiser())
    sub = nested._sub(evaluation, [ALL_MEANS[0]], evaluation.all_clips)
    assert set(sub.candidates.table["family"]) == {"idnn", "group_made"}
    assert len(sub.candidates) == 4
    assert sub.scores.shape == (4, len(evaluation.rows))


def test_further_members_of_a_slot_stay_in_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of each value that `distinct` keeps apart, though others are better."""
    monkeypatch.setattr(nested, "POOL", 1)
    monkeypatch.setattr(nested, "POOL_OF_GROUP", 2)
    strength = [2.0, 1.9, 1.8, 1.7, 0.1, 0.9, 0.3]
    candidates = make_candidates(strength, per=60, families=("idnn",))
    params = [{"mix": name} for name in "aaaaabc"]
    given = replace(candidates, table=candidates.table.assign(params=params))
    evaluation = EvaluationSet.of(given, Standardiser())
    slot = Slot("idnn", size=3, distinct=("mix",))
    sub = nested._sub(evaluation, [Recipe("r", "slots", slots=(slot,))], evaluation.all_clips)
    assert sorted(each["mix"] for each in sub.candidates.table["params"]) == ["a", "a", "b", "c"]
    assert select_whole(sub, Recipe("r", "slots", slots=(slot,)), CONFIG).members == (0, 2, 3)


def test_it_needs_a_choice_and_clips_for_folds_inside_folds() -> None:
    evaluation = EvaluationSet.of(make_candidates(), Standardiser())
    assert not NESTED.possible([(evaluation, ALL_MEANS[0])], CONFIG)
    assert NESTED.possible([(evaluation, ALL_MEANS[0]), (evaluation, ALL_MEANS[2])], CONFIG)
    few = EvaluationSet.of(make_candidates(per=2), Standardiser())
    assert not NESTED.possible([(few, ALL_MEANS[0]), (few, ALL_MEANS[2])], CONFIG)
    least = EvaluationSet.of(make_candidates(per=3), Standardiser())
    entries = [(least, ALL_MEANS[0]), (least, ALL_MEANS[2])]
    assert NESTED.possible(entries, EnsembleConfig())
    assert 0 < NESTED.measure(entries, EnsembleConfig()).value <= 1


@pytest.mark.parametrize(("per", "folds", "possible"), [(3, 2, False), (3, 3, True), (4, 2, True), (2, 5, False)])
def test_every_fold_leaves_clips_for_the_folds_inside(per: int, folds: int, possible: bool) -> None:
    evaluation = EvaluationSet.of(make_candidates(per=per), Standardiser())
    entries, config = [(evaluation, recipe) for recipe in ALL_MEANS[:2]], replace(CONFIG, folds=folds)
    assert NESTED.possible(entries, config) == possible
    if possible:
        assert 0 < NESTED.measure(entries, config).value <= 1
