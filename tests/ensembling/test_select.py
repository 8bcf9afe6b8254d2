from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling.candidates import CONSTANT, Candidates, LeftOut, load
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.label_free import without_labels
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.requirements import check
from asd_ray.ensembling.select import select
from asd_ray.ensembling.slots import fits
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Settings
from tests.ensembling.conftest import make_ledger

STRENGTH = (0.2, 1.4, 0.9, 0.5, 1.1, 0.7)
FAMILIES = ("idnn", "group_made")  # in turn


@pytest.fixture
def evaluation(candidates: Callable[..., Candidates]) -> EvaluationSet:
    return EvaluationSet.of(candidates(STRENGTH, per=60, families=FAMILIES), Standardiser())


def members(evaluation: EvaluationSet, recipe: Recipe) -> tuple[int, ...]:
    return select(recipe, evaluation.candidates.table, evaluation.scores, evaluation.scorer).members


def test_the_fixture_ranks_as_its_strengths(evaluation: EvaluationSet) -> None:
    assert np.argsort(-evaluation.scorer(evaluation.scores)).tolist() == [1, 4, 2, 5, 3, 0]


def test_best_is_the_best_alone(evaluation: EvaluationSet) -> None:
    assert members(evaluation, Recipe("r", "best")) == (1,)
    assert members(evaluation, Recipe("r", "best", slots=(Slot("idnn"),))) == (4,)


def test_slots_come_in_their_order_each_with_its_best(evaluation: EvaluationSet) -> None:
    assert members(evaluation, Recipe("r", "slots", slots=(Slot("idnn"), Slot("group_made")))) == (4, 1)
    own = Slot("idnn", params={"lr": 10.0**-2})
    assert members(evaluation, Recipe("r", "slots", slots=(own, Slot("group_made", ("mse",))))) == (2, 1)


def test_two_slots_that_one_candidate_fills_make_one_member(evaluation: EvaluationSet) -> None:
    assert members(evaluation, Recipe("r", "slots", slots=(Slot("idnn"), Slot("idnn")))) == (4,)


def test_a_slot_may_have_several_members_after_the_first_of_each_slot(evaluation: EvaluationSet) -> None:
    both = (Slot("idnn", size=2), Slot("group_made", size=9))
    assert members(evaluation, Recipe("r", "slots", slots=both)) == (4, 1, 2, 5, 3)
    chosen = select(Recipe("r", "slots", slots=both), evaluation.candidates.table, evaluation.scores, evaluation.scorer)
    assert chosen.weights == (1.0,) * 5


def test_no_two_members_of_a_slot_have_the_same_values_of_its_distinct_parameters(evaluation: EvaluationSet) -> None:
    """Alone the order is 1, 4, 2, 5, 3, 0."""
    own = {1: ("a", 0), 4: ("a", 0), 2: ("a", 1), 5: ("b", 0), 3: ("a", 1), 0: ("b", 1)}
    params = [{"mix": own[row][0], "warps": own[row][1]} for row in range(6)]
    table = evaluation.candidates.table.assign(family="idnn", params=params)

    def chosen(size: int, *distinct: str) -> tuple[int, ...]:
        recipe = Recipe("r", "slots", slots=(Slot("idnn", size=size, distinct=distinct),))
        return select(recipe, table, evaluation.scores, evaluation.scorer).members

    assert chosen(3) == (1, 4, 2)
    assert chosen(3, "mix", "warps") == (1, 2, 5)
    assert chosen(9, "mix", "warps") == (1, 2, 5, 0)  # fewer than 9
    assert chosen(9, "mix") == (1, 5)
    assert chosen(9, "mix", "later") == (1, 5)  # a parameter that these trials do not have yet
    assert chosen(2, "warps") == (1, 2)


def test_best_per_family_is_the_best_of_each_best_first(evaluation: EvaluationSet) -> None:
    assert members(evaluation, Recipe("r", "best_per_family")) == (1, 4)


def test_top_k_are_the_k_best(evaluation: EvaluationSet) -> None:
    assert members(evaluation, Recipe("r", "top_k", k=3)) == (1, 4, 2)
    assert len(members(evaluation, Recipe("r", "top_k", k=99))) == len(STRENGTH)


def test_the_trail_tells_what_each_further_member_made_of_it(evaluation: EvaluationSet) -> None:
    selection = select(Recipe("r", "top_k", k=3), evaluation.candidates.table, evaluation.scores, evaluation.scorer)
    assert [row for row, _ in selection.trail] == [1, 4, 2]
    for step, (_, value) in enumerate(selection.trail, 1):
        together = evaluation.scores[list(selection.members[:step])].mean(axis=0)
        assert value == pytest.approx(float(evaluation.scorer(together[None])[0]))


def test_optuna_finds_the_better_member(candidates: Callable[..., Candidates]) -> None:
    """Of one good detector and two that say nothing, most of the weight goes to the good one."""
    evaluation = EvaluationSet.of(candidates((0.0, 1.5, 0.0), per=60, shared=0.0), Standardiser())
    recipe = Recipe("r", "optuna_weights", k=3, trials=40)
    selection = select(recipe, evaluation.candidates.table, evaluation.scores, evaluation.scorer)
    assert selection.members[0] == 1
    assert selection.weights[0] > 2 * max(selection.weights[1:], default=0)
    equal, found = (
        float(evaluation.scorer((np.asarray(weights) @ evaluation.scores[list(rows)])[None])[0])
        for rows, weights in (((0, 1, 2), (1, 1, 1)), (selection.members, selection.weights))
    )
    assert found > equal + 0.05
    assert selection == select(recipe, evaluation.candidates.table, evaluation.scores, evaluation.scorer)


def test_optuna_weighs_the_best_variants_of_different_trials(evaluation: EvaluationSet) -> None:
    table = evaluation.candidates.table.assign(trial=["a", "b", "b", "c", "b", "a"])
    selection = select(Recipe("r", "optuna_weights", k=2, trials=5), table, evaluation.scores, evaluation.scorer)
    assert set(selection.members) <= {1, 5}


def test_a_recipe_without_labels_is_not_selected_by_labels(evaluation: EvaluationSet) -> None:
    with pytest.raises(AsdRayError, match="recipe r uses no label"):
        members(evaluation, Recipe("r", "label_free"))


def test_slots_say_which_variants_and_parameters_are_meant() -> None:
    table = pd.DataFrame(
        {
            "family": ["aegan_ad", "aegan_ad", "idnn", "aegan_ad"],
            "variant": ["a", "b", "a", "a"],
            "params": [{"net": "x"}, {"net": "x"}, {"net": "x"}, {}],
        }
    )
    assert fits(Slot("aegan_ad"), table).tolist() == [True, True, False, True]
    assert fits(Slot("aegan_ad", ("a", "c")), table).tolist() == [True, False, False, True]
    assert fits(Slot("aegan_ad", ("a",), {"net": "x"}), table).tolist() == [True, False, False, False]
    assert fits(Slot("aegan_ad", params={"net": "y"}), table).tolist() == [False] * 4


def test_a_slot_at_its_papers_setting_takes_one_training() -> None:
    table = pd.DataFrame(
        {
            "family": ["aegan_ad"] * 5 + ["idnn"],
            "trial": ["short", "short", "second", "first", "other", "x"],
            "variant": ["a", "b", "a", "a", "b", "a"],
            "params": [{"lr": 1}] * 6,
            "paper": [True] * 4 + [False, True],
            "epochs": [2, 2, 60, 60, 90, 99],
            "number": [0, 0, 7, 5, 1, 0],
        }
    )
    assert np.flatnonzero(fits(Slot("aegan_ad", paper=True), table)).tolist() == [3]
    assert np.flatnonzero(fits(Slot("aegan_ad", ("b",), paper=True), table)).tolist() == [1]
    assert np.flatnonzero(fits(Slot("aegan_ad", paper=True), table[:2])).tolist() == [0, 1]
    assert not fits(Slot("aegan_ad", params={"lr": 2}, paper=True), table).any()


def test_the_advised_searches_fix_what_the_run_does_not_have(evaluation: EvaluationSet) -> None:
    params = [{"net": "m", "head": "s", "hop": 8}, {"net": "r", "head": "a", "hop": 8}] * 3
    table = evaluation.candidates.table.assign(family="id_classifier", params=params)
    given = replace(evaluation.candidates, table=table)
    pins = {"net": "m", "head": "a", "hop": 8}
    slots = [Slot("id_classifier", params=pins), Slot("idnn", params={"hop": 8}), Slot("id_classifier")]
    slots += [Slot("id_classifier", params={**pins, "net": "r", "head": "s"}), Slot("id_classifier", ("mse",), pins)]
    with pytest.raises(AsdRayError) as raised:
        check(Recipe("r", "slots", slots=tuple(slots)), given)
    assert str(raised.value).partition("has; run: ")[2] == (
        "asd-ray search fan --families id_classifier,idnn --set id_classifier.net=m --set id_classifier.head=a "
        "--set idnn.hop=8 and asd-ray search fan --families id_classifier --set net=r --set head=s"
    )


def test_a_recipe_says_which_family_it_lacks_and_how_to_search_it(evaluation: EvaluationSet) -> None:
    lacking = (Slot("stgram"), Slot("idnn"), Slot("flow_aff", params={"flow": "glow"}))
    with pytest.raises(AsdRayError) as raised:
        check(Recipe("mine.max", "slots", slots=lacking), evaluation.candidates)
    assert str(raised.value) == (
        "fan: recipe mine needs stgram; flow_aff (flow 'glow'), which no complete trial has; "
        "run: asd-ray search fan --families stgram,flow_aff --set flow_aff.flow=glow"
    )
    check(Recipe("mine", "slots", slots=(Slot("idnn"),)), evaluation.candidates)


def test_the_search_that_is_advised_is_of_this_run_and_names_a_users_class(tmp_path: Path) -> None:
    target = "mine.detector:Mine"
    fields = {"settings": Settings(year=2022), "target": target, "paper": True}
    ledger = make_ledger(tmp_path / "my run", {"Mine": [{"lr": 0.1}]}, **fields)
    for recipe in (
        Recipe("mine", "slots", slots=(Slot("Mine", params={"lr": 7}), Slot("stgram"))),
        Recipe("free", "label_free", slots=(Slot("Mine", params={"lr": 7}),)),
    ):
        with pytest.raises(AsdRayError) as raised:
            check(recipe, load(ledger, "fan"))
        assert f"--run '{tmp_path}/my run'" in str(raised.value)
    gone = replace(load(ledger, "fan"), left_out=(LeftOut("fan-Mine-0000", "Mine", "mse", CONSTANT),))
    with pytest.raises(AsdRayError, match=f"asd-ray search fan --families {target} --run '.*/my run'"):
        check(Recipe("mine", "slots", slots=(Slot("Mine", ("mse",), {"lr": 7}),)), gone)


def test_the_best_of_some_families_needs_one_of_them(evaluation: EvaluationSet) -> None:
    check(Recipe("r", "best", slots=(Slot("stgram"), Slot("idnn"))), evaluation.candidates)
    with pytest.raises(AsdRayError, match="needs stgram, which .* --families stgram"):
        check(Recipe("r", "best", slots=(Slot("stgram"),)), evaluation.candidates)


@pytest.mark.parametrize("slots", [(), (Slot("idnn"),), (Slot("idnn"), Slot("stgram"))])
def test_without_labels_a_papers_setting_is_needed(evaluation: EvaluationSet, slots: tuple[Slot, ...]) -> None:
    recipe = Recipe("label_free", "label_free", slots=slots)
    check(recipe, evaluation.candidates)
    with pytest.raises(AsdRayError, match="needs a complete trial with the papers' settings, and the ledger has none"):
        check(recipe, replace(evaluation.candidates, table=evaluation.candidates.table.assign(paper=False)))


def test_one_candidate_is_enough_for_every_way_to_select(evaluation: EvaluationSet) -> None:
    one = replace(evaluation.candidates.take([1]), left_out=())
    for way in ("best", "best_per_family", "top_k", "greedy"):
        assert members(EvaluationSet.of(one, Standardiser()), Recipe("r", way)) == (0,)
    assert without_labels(Recipe("r", "label_free"), one).members == (0,)
