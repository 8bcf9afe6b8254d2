"""Recipes that use no label: what they choose, and that they read none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_ray.ensembling import EnsembleConfig, build, find_recipe, read, verify, write
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.fault_scorer import FaultScorer
from asd_ray.ensembling.label_free import criterion_lacking, criterion_notes, without_labels
from asd_ray.ensembling.recipe import LABEL_FREE, Recipe, Slot
from asd_ray.ensembling.requirements import check
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from tests.ensembling.conftest import make_ledger
from tests.ensembling.criteria.conftest import QUALITY, hide_labels, simulate

BEST = len(QUALITY) - 1
RECIPES = [
    Recipe("papers", "label_free"),
    Recipe("best", "label_free_best", criterion="injected_faults"),
    Recipe("top", "label_free_top_k", k=3, criterion="borda"),
    Recipe("consensus", "label_free_consensus", size=4, criterion="consensus"),
    Recipe("greedy", "label_free_greedy", size=5, pool=10),
]


@pytest.fixture
def candidates() -> Candidates:
    return simulate()


def test_every_way_is_tested_here() -> None:
    assert {recipe.select for recipe in RECIPES} == set(LABEL_FREE)
    assert not any(recipe.uses_labels for recipe in RECIPES)
    assert Recipe("r", "greedy").uses_labels


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_no_label_is_read(recipe: Recipe, candidates: Candidates) -> None:
    assert without_labels(recipe, hide_labels(candidates)) == without_labels(recipe, candidates)
    assert without_labels(recipe, candidates).members
    assert all(isinstance(row, int) for row in without_labels(recipe, candidates).members)


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe.name != "consensus"], ids=str)
def test_no_test_clip_is_needed(recipe: Recipe) -> None:
    nothing = simulate(per=0)
    assert nothing.scores.shape == (len(QUALITY), 0)
    check(recipe, nothing)
    assert without_labels(recipe, nothing).members


@pytest.mark.parametrize(
    ("faults", "instead"),
    [(True, "; choose another recipe: --recipe label_free_top_k$"), (False, ": --recipe label_free$")],
)
def test_consensus_needs_test_clips_and_names_a_recipe_that_does_not(faults: bool, instead: str) -> None:
    nothing = simulate(per=0)
    without_clips = nothing if faults else replace(nothing, faults=None)
    reason = "chooses by consensus: it compares scores of test clips, and there are none"
    with pytest.raises(AsdRayError, match=f"{reason}.*{instead}"):
        check(RECIPES[3], without_clips)


def test_no_recipe_is_named_where_none_can_be_followed() -> None:
    nothing = simulate(per=0)
    table = nothing.table.assign(paper=False)
    with pytest.raises(AsdRayError, match="and there are none$"):
        check(RECIPES[3], replace(nothing, faults=None, table=table))


def test_the_papers_settings_weigh_each_family_the_same(candidates: Candidates) -> None:
    paper = [True, True, True, True] + [False] * 8  # of three families in turn
    given = replace(candidates, table=candidates.table.assign(paper=paper))
    selection = without_labels(Recipe("r", "label_free"), given)
    assert dict(zip(selection.members, selection.weights, strict=True)) == {1: 1.0, 0: 0.5, 3: 0.5, 2: 1.0}


def test_each_family_counts_by_its_papers_own_score(candidates: Candidates) -> None:
    """Two seeds of idnn, of which one lacks the paper's score; a family of which the paper has none; a user's own."""
    family = ["idnn"] * 4 + ["aegan_ad"] * 2 + ["mine"] * 2 + ["group_made"] * 2 + ["stgram", "idnn"]
    variant = ["mean", "max", "max", "least", "D_lof", "D_cos", "near", "far", "middle", "all", "nll_margin", "mean"]
    trial = [*"aabbccddeefg"]
    paper = [True] * 11 + [False]
    table = candidates.table.assign(trial=trial, family=family, variant=variant, paper=paper)
    given = replace(candidates, table=table)
    chosen = without_labels(Recipe("r", "label_free", variants="paper"), given)
    weights = dict(zip(chosen.members, chosen.weights, strict=True))
    third = pytest.approx(1 / 3)
    assert weights == {0: third, 2: third, 3: third, 4: 0.5, 5: 0.5, 6: 0.5, 7: 0.5, 9: 1.0, 10: 1.0}
    assert sorted(without_labels(Recipe("r", "label_free"), given).members) == [*range(11)]
    asked = Recipe("r", "label_free", slots=(Slot("idnn", ("max",)), Slot("group_made")), variants="paper")
    assert without_labels(asked, given).members == (1, 2, 9)


def test_the_choice_of_variants_is_stored_only_where_it_is_not_that_of_earlier_versions() -> None:
    assert "variants" not in Recipe("r", "label_free").to_json()
    shipped = find_recipe("label_free")
    assert shipped.to_json()["variants"] == "paper"
    assert Recipe.from_json(shipped.to_json()) == shipped
    with pytest.raises(AsdRayError, match="unknown choice of variants 'papers'; did you mean 'paper'"):
        Recipe("r", "label_free", variants="papers")
    with pytest.raises(AsdRayError, match='only label_free reads variants, but select is "top_k"; remove variants'):
        Recipe("r", "top_k", variants="paper")


def test_an_ensemble_of_the_former_rule_is_rebuilt_by_it(tmp_path: Path) -> None:
    """The shipped recipe of earlier versions had no `variants`, and its ensembles have all of them as members."""
    ledger = make_ledger(tmp_path / "run", {"idnn": [{"lr": 0.1}]}, variants=("mean", "max"))
    candidates, config = load(ledger, "fan"), EnsembleConfig(repeats=1, folds=2, draws=50)
    for recipe, members in ((Recipe("label_free", "label_free"), 2), (find_recipe("label_free").ways()[0], 1)):
        path = write(ledger, build(candidates, recipe, config))
        assert ('"variants": "paper"' in Path(path).read_text()) == (members == 1)
        stored = read(path)
        assert len(stored.members) == members
        assert max(verify(ledger, stored).values()) == 0.0


def test_the_best_and_the_best_of_each_trial(candidates: Candidates) -> None:
    best, top = RECIPES[1], Recipe("r", "label_free_top_k", k=3, criterion="injected_faults")
    best_row = without_labels(best, candidates).members
    assert best_row in ((BEST,), (BEST - 1,))
    assert set(without_labels(top, candidates).members) <= set(range(BEST - 4, BEST + 1))
    trials = candidates.table["trial"].tolist()
    variants = replace(candidates, table=candidates.table.assign(trial=[*trials[:-3], *[trials[-1]] * 3]))
    chosen = without_labels(top, variants).members
    assert chosen[0] == best_row[0]
    assert len(set(chosen) & {BEST, BEST - 1, BEST - 2}) == 1


def test_consensus_weighs_good_candidates_more(candidates: Candidates) -> None:
    selection = without_labels(RECIPES[3], candidates)
    assert len(selection.members) == 4
    assert selection.members[0] in (BEST, BEST - 1)
    assert list(selection.weights) == sorted(selection.weights, reverse=True)


def test_greedy_is_at_least_as_good_on_faults_as_the_best_candidate(candidates: Candidates) -> None:
    selection = without_labels(RECIPES[4], candidates)
    scorer, scores = FaultScorer.of(candidates, Standardiser())
    mixed = np.average(scores[list(selection.members)], axis=0, weights=selection.weights)
    assert scorer(mixed[None])[0] > scorer(scores).max()
    assert selection.trail[0][0] == int(np.argmax(scorer(scores)))
    assert max(value for _, value in selection.trail) == pytest.approx(scorer(mixed[None])[0])


def test_slots_name_the_families_that_take_part(candidates: Candidates) -> None:
    for recipe in RECIPES:
        chosen = without_labels(replace(recipe, slots=(Slot("idnn"),)), candidates).members
        assert set(candidates.table["family"].iloc[list(chosen)]) == {"idnn"}


def test_a_candidate_whose_epoch_labels_chose_is_never_a_member(candidates: Candidates) -> None:
    peeked = replace(candidates, table=candidates.table.assign(peeked=[False] * BEST + [True]))
    for recipe in RECIPES:
        assert BEST not in without_labels(recipe, peeked).members
    every = replace(candidates, table=candidates.table.assign(peeked=True))
    with pytest.raises(AsdRayError, match="needs a candidate that its criterion can judge and whose epoch"):
        check(RECIPES[1], every)


def test_a_candidate_without_faults_is_never_chosen_and_is_named(candidates: Candidates) -> None:
    assert candidates.faults is not None
    faults = candidates.faults.scores.copy()
    faults[BEST] = np.nan
    given = replace(candidates, faults=replace(candidates.faults, scores=faults))
    for recipe in (RECIPES[1], RECIPES[4]):
        assert BEST not in without_labels(recipe, given).members
        name = given.label(BEST)
        assert f"injected_faults has no value for {name}: never chosen" in criterion_notes(recipe, given)


def test_no_score_is_taken_that_the_authors_chose_for_the_machine_by_labels(candidates: Candidates) -> None:
    """On the slider of 2022 the paper names D_lof. All scores of the trial count here, and a note says what is left."""
    variant = ["D_lof", "D_knn", "D_cos"] * 4
    table = candidates.table.assign(family="aegan_ad", variant=variant, paper=[True] * 3 + [False] * 9)
    recipe = Recipe("r", "label_free", variants="paper")
    for year in (2020, 2022, 2023, None):
        given = replace(candidates, table=table.assign(trial=[*"aaabbbcccddd"]), machine="slider", year=year)
        assert without_labels(recipe, given).members == (0, 1, 2)
        note = f"the authors of aegan_ad chose its setting of each machine with test labels of DCASE {year}"
        assert criterion_notes(recipe, given) == [note] * (year in (2020, 2022))
        idnn = replace(given, table=given.table.assign(family="idnn"))
        assert criterion_notes(recipe, idnn) == []


def test_a_criterion_that_saturates_stops_the_recipe() -> None:
    plain = simulate([50.0] * 12)
    assert criterion_lacking(RECIPES[1], plain).startswith("chooses by injected_faults: it saturates")
    with pytest.raises(AsdRayError, match="recipe best chooses by injected_faults: it saturates"):
        check(RECIPES[1], plain)


def test_a_choice_by_a_criterion_says_so_in_the_ensemble(candidates: Candidates) -> None:
    ensemble = build(candidates, RECIPES[3], EnsembleConfig(repeats=1, folds=2, draws=50))
    assert ensemble.headline_protocol == "label_free"
    assert "chosen by the criterion consensus: it prefers what agrees with the other candidates" in ensemble.notes[0]
    assert any(note.startswith("transductive choice") for note in ensemble.notes)
    assert any(note.startswith("the search itself was led by test labels") for note in ensemble.notes)
    without = replace(candidates, table=candidates.table.assign(guided=False))
    assert criterion_notes(RECIPES[1], without) == [
        "chosen by the criterion injected_faults: it prefers what tells held-out clips with an injected fault from "
        "held-out clips without one"
    ]
    assert criterion_notes(RECIPES[0], candidates) == []


def test_a_recipe_names_its_criterion_where_it_needs_one() -> None:
    with pytest.raises(AsdRayError, match="unknown criterion ''"):
        Recipe("r", "label_free_best")
    with pytest.raises(AsdRayError, match="only label_free_best, label_free_top_k, label_free_consensus choose by"):
        Recipe("r", "label_free_greedy", criterion="borda")
    assert "criterion" not in Recipe("r", "greedy").to_json()
    assert Recipe.from_json(RECIPES[1].to_json()) == RECIPES[1]


def test_the_ledger_gives_the_scores_of_faults(all_families: Ledger) -> None:
    candidates = load(all_families, "fan")
    assert candidates.faults is not None
    assert candidates.faults.scores.shape == (len(candidates), len(candidates.faults.clips))
    assert np.isfinite(candidates.faults.scores).all()
    assert [*candidates.faults.clips.columns] == ["clip", "id", "domain"]
    assert candidates.take([1, 0]).faults.scores.tolist() == candidates.faults.scores[[1, 0]].tolist()  # type: ignore[union-attr]
    [record] = [one for one in all_families.records() if one.trial == candidates.table["trial"].iat[2]]
    rows = all_families.scores(record)
    rows = rows[(rows["split"] == "fault") & (rows["variant"] == candidates.table["variant"].iat[2])]
    own = rows.set_index("clip")["score"].loc[candidates.faults.clips["clip"]]
    np.testing.assert_array_equal(candidates.faults.scores[2], own.to_numpy())


def test_shipped_recipes_choose_by_a_criterion() -> None:
    names = {name: find_recipe(name).select for name in ("label_free_best", "label_free_top_k", "label_free_greedy")}
    assert names == {name: name for name in names}
