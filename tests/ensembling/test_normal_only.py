"""Machines without anomalies: no test split, unlabelled clips, or a search that used no label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, choose, load, preference, scores_of, verify
from asd_ray.ensembling.build import Builder, without_constants
from asd_ray.ensembling.choose import skipped_notes
from asd_ray.ensembling.on_faults import FaultScores, OnFaults
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.metrics.injected import fault_values
from tests.reporting.conftest import fill, fill_normal_only

QUICK = EnsembleConfig(repeats=1, folds=2, draws=20)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A machine without test clips."""
    made = Ledger(tmp_path / "run")
    fill_normal_only(made, "fan")
    return made


def of(tmp_path: Path, test: str) -> Ledger:
    made = Ledger(tmp_path / "run")
    fill_normal_only(made, "fan", test=test)
    return made


def single(ledger: Ledger, row: int = 0) -> Ensemble:
    """The ensemble of one candidate."""
    candidates = load(ledger, "fan").take([row])
    alone = replace(candidates, table=candidates.table.assign(paper=True))
    from asd_ray.ensembling import build

    return build(alone, Recipe("label_free", "label_free"), QUICK)


def test_candidates_without_test_clips(ledger: Ledger) -> None:
    candidates = load(ledger, "fan")
    assert candidates.scores.shape == (8, 0)
    assert list(candidates.clips.columns) == ["clip", "id", "domain", "label"]
    assert candidates.normal_scores.shape == (8, 48)
    assert (candidates.labelled, candidates.normal_only) == (False, True)


def test_what_there_is_not_cannot_standardise(ledger: Ledger) -> None:
    with pytest.raises(AsdRayError, match="fan: it has no test clips, whose scores could standardise; use --by"):
        load(ledger, "fan", "test")


def test_constant_scores_of_normal_clips_are_left_out(ledger: Ledger) -> None:
    candidates = load(ledger, "fan")
    constant = candidates.normal_scores.copy()
    constant[2] = 1.0
    left = without_constants(replace(candidates, normal_scores=constant))
    assert len(left) == 7
    assert [str(one) for one in left.left_out] == [f"{candidates.label(2)} (constant scores)"]
    with pytest.raises(AsdRayError, match="gives all normal clips one score"):
        without_constants(replace(candidates, normal_scores=np.ones_like(constant)))


@pytest.mark.parametrize(
    ("test", "lack", "what"),
    [
        ("none", "there are no anomalies", "the machine has no test clips"),
        ("unknown", "there are no known anomalies", "the test clips have no labels"),
    ],
)
def test_only_recipes_without_labels_are_followed(tmp_path: Path, test: str, lack: str, what: str) -> None:
    ledger = of(tmp_path, test)
    comparison = choose(ledger, "fan", config=QUICK)
    assert {ensemble.recipe.uses_labels for ensemble in comparison.ensembles} == {False}
    assert comparison.final.headline is None
    assert f"not measured: {lack}; {what}" in comparison.final.notes
    assert comparison.final.tried is not None
    assert comparison.final.tried.chosen_by == "order"
    assert comparison.summary.endswith(f"in a fixed order, as no label may choose; not measured: {lack}")
    named = [skipped.recipe for skipped in comparison.skipped if skipped.by_labels]
    assert len(named) == len(set(named))
    assert {"greedy", "best_single", "top_k"} <= set(named)
    notes = skipped_notes([comparison])
    assert sum("not followed, as they choose by labels" in note for note in notes) == 1
    assert f"({lack})" in notes[0]
    assert set(comparison.on_faults) == {ensemble.name for ensemble in comparison.ensembles}


@pytest.mark.parametrize("test", ["none", "unknown", "known"])
def test_a_stored_ensemble_is_rebuilt_and_gives_scores(tmp_path: Path, test: str) -> None:
    ledger = of(tmp_path, test)
    final = choose(ledger, "fan", config=QUICK).final
    assert max(verify(ledger, final).values()) <= 1e-9
    scores = scores_of(ledger, final)
    assert set(scores["split"]) == {"held_out"} if test == "none" else {"held_out", "test"}
    assert np.isfinite(scores["score"]).all()


def test_a_named_recipe_that_needs_labels_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(AsdRayError, match="recipe greedy chooses by labels of test clips, and there are no anomalies"):
        choose(ledger, "fan", ["greedy"], QUICK)


def test_ranks_among_test_clips_need_test_clips(ledger: Ledger) -> None:
    recipe = Recipe("mine", "label_free", combine=("rank_mean",))
    with pytest.raises(AsdRayError, match="ranks scores among test clips, and there are none; combine by mean"):
        Builder(ledger, "fan", QUICK)(recipe)


@pytest.mark.parametrize("first", ["label_free.mean", "label_free.min"])
def test_after_a_search_without_labels_no_number_chooses(
    tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = of(tmp_path, "known")
    monkeypatch.setattr(preference, "DEFAULT_ORDER", (first,))
    comparison = choose(ledger, "fan", ["label_free"], QUICK)
    assert comparison.final.name == first
    assert comparison.final.headline_protocol == "label_free"  # measured afterwards
    assert comparison.final.tried is not None
    assert comparison.final.tried.chosen_by == "order"


def test_labels_choose_if_the_user_names_such_a_recipe(tmp_path: Path) -> None:
    ledger = of(tmp_path, "known")
    every = choose(ledger, "fan", config=QUICK)
    assert not any(ensemble.recipe.uses_labels for ensemble in every.ensembles)
    assert any("the search was normal-only; to use labels" in note for note in skipped_notes([every]))
    named = choose(ledger, "fan", ["top_k"], QUICK)
    assert "crossval" in named.ensembles[0].metrics
    assert named.final.tried is not None
    assert named.final.tried.chosen_by == "crossval"


def test_imported_or_labelled_trials_make_the_search_one_by_labels(tmp_path: Path) -> None:
    ledger = of(tmp_path, "known")
    fill(ledger, "fan", trials=1)
    assert not load(ledger, "fan", drop=True).normal_only


# -- injected faults -------------------------------------------------------------------------------------------------


def test_an_ensemble_of_one_has_the_value_of_its_member(ledger: Ledger) -> None:
    scores = FaultScores.of(ledger, load(ledger, "fan"))
    assert scores is not None
    for row in range(8):
        ensemble = single(ledger, row)
        found = OnFaults.of(scores, ensemble)
        assert found is not None
        assert found.value == pytest.approx(found.members[0], abs=1e-12)
        assert found.value == pytest.approx(scores.values()[ensemble.members[0].pair], abs=1e-12)


def test_loaded_candidates_give_the_scores_that_the_ledger_has(ledger: Ledger) -> None:
    candidates = load(ledger, "fan")
    loaded = FaultScores.of(Ledger("runs/nowhere"), candidates)  # nothing is read again
    read = FaultScores.of(ledger, replace(candidates, by="train"))
    assert loaded is not None
    assert read is not None
    assert loaded.pairs == read.pairs
    assert np.array_equal(loaded.normal, read.normal)
    assert np.array_equal(loaded.faults, read.faults)
    assert loaded.values() == read.values()
    for ensemble in choose(ledger, "fan", config=QUICK).ensembles:
        assert OnFaults.of(loaded, ensemble) == OnFaults.of(read, ensemble)


def test_a_candidate_without_scores_of_faults_is_left_out(ledger: Ledger) -> None:
    candidates = load(ledger, "fan")
    assert candidates.faults is not None
    lacking = candidates.faults.scores.copy()
    lacking[3] = np.nan
    scores = FaultScores.of(ledger, replace(candidates, faults=replace(candidates.faults, scores=lacking)))
    assert scores is not None
    assert scores.pairs == tuple(pair for row, pair in enumerate(candidates.pairs) if row != 3)
    assert np.isfinite(list(scores.values().values())).all()


def test_values_are_those_that_the_search_compares(ledger: Ledger) -> None:
    scores = FaultScores.of(ledger, load(ledger, "fan"))
    assert scores is not None
    own = fault_values(scores.normal, scores.normal_clips, scores.faults, scores.fault_clips)
    assert list(scores.values().values()) == own.tolist()
    order = np.argsort(own)
    assert scores.pairs[order[-1]][0] == load(ledger, "fan").table.set_index("name")["trial"]["fan-knn-0003"]


def test_a_louder_kind_of_fault_has_a_higher_auc(ledger: Ledger) -> None:
    scores = FaultScores.of(ledger, load(ledger, "fan"))
    assert scores is not None
    found = OnFaults.of(scores, single(ledger, 7))
    assert found is not None
    assert found.aucs["tone"][0] > found.aucs["click"][0] > 0.5


def test_members_without_scores_of_faults_have_no_value(ledger: Ledger, ledger_of: Callable[..., Any]) -> None:
    older = ledger_of(machine="pump", splits=("train", "held_out"))  # of an earlier version
    assert FaultScores.of(older, load(older, "pump")) is None
    scores = FaultScores.of(ledger, load(ledger, "fan"))
    assert scores is not None
    ensemble = single(ledger)
    stranger = replace(ensemble, members=(replace(ensemble.members[0], trial="tother"),))
    assert OnFaults.of(scores, stranger) is None
