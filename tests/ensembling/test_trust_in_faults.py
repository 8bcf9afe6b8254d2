"""The warning about values on injected faults: few held-out clips, or values that hardly differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, build, choose, load, read, write
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.trust import TrustWarning
from asd_ray.ledger import Ledger
from tests.ensembling.criteria.conftest import simulate
from tests.reporting.conftest import fill_normal_only

QUICK = EnsembleConfig(repeats=1, folds=2, draws=20)
BEST = Recipe("best", "label_free_best", criterion="injected_faults")
BORDA = Recipe("borda", "label_free_best", criterion="borda")
STABLE = Recipe("stable", "label_free_best", criterion="consensus")
PAPERS = Recipe("papers", "label_free")
BY_LABELS = Recipe("labels", "best")


def with_held_out(per_id: dict[str, int], candidates: Candidates | None = None) -> Candidates:
    """Candidates with so many held-out clips of each id."""
    whole = candidates or simulate()
    ids = whole.normal["id"].to_numpy()
    rows = np.concatenate([np.flatnonzero(ids == id)[:many] for id, many in per_id.items()])
    normal = whole.normal.iloc[rows].reset_index(drop=True)
    return replace(whole, normal=normal, normal_scores=whole.normal_scores[:, rows])


def of_faults(ensemble: Ensemble) -> list[TrustWarning]:
    assert ensemble.warnings is not None
    return [warning for warning in ensemble.warnings if warning.name == "fault_values"]


@pytest.mark.parametrize("recipe", [BEST, BORDA], ids=str)
def test_few_held_out_clips_behind_a_criterion_of_faults(recipe: Recipe) -> None:
    [warning] = of_faults(build(with_held_out({"00": 5, "02": 2}), recipe, QUICK))
    assert warning.sentence.startswith(
        "Few held-out clips to inject faults into: 7 of the machine, 2 of id 02. Values on injected faults, by which "
        "this ensemble was chosen, then depend on single clips"
    )
    assert warning.numbers == {"clips": 7, "fewest": 2, "ids": 1}


def test_an_id_with_few_clips_is_enough_and_an_id_without_any_counts() -> None:
    [warning] = of_faults(build(with_held_out({"00": 20, "02": 2}), BEST, QUICK))
    assert warning.numbers == {"clips": 22, "fewest": 2, "ids": 1}
    [warning] = of_faults(build(with_held_out({"00": 20}), BEST, QUICK))
    assert "20 of the machine, 0 of id 02." in warning.sentence


def test_enough_clips_or_another_choice_need_no_warning() -> None:
    assert not of_faults(build(with_held_out({"00": 5, "02": 5}), BEST, QUICK))
    for recipe in (STABLE, PAPERS, BY_LABELS):
        assert not of_faults(build(with_held_out({"00": 2, "02": 2}), recipe, QUICK))


def test_a_search_by_faults_is_warned_of_whatever_chose_the_ensemble() -> None:
    searched = replace(with_held_out({"00": 2, "02": 2}), objective="normal-only")
    [warning] = of_faults(build(searched, BY_LABELS, QUICK))
    assert "2 of id 00, 2 of id 02. Values on injected faults, by which the search compared its trials," in (
        warning.sentence
    )
    [warning] = of_faults(build(searched, BEST, QUICK))
    assert "by which the search compared its trials and this ensemble was chosen, then" in warning.sentence


def test_values_that_saturate_are_said_where_no_label_chose() -> None:
    loud = simulate([50.0] * 12)
    [warning] = of_faults(build(loud, PAPERS, QUICK))
    assert warning.sentence == (
        "Values on injected faults hardly tell the candidates apart: 100% of the candidates are above 0.99. So recipes "
        "that choose by these values alone were not followed."
    )
    assert warning.numbers == {"candidates": 12, "lowest": 1.0, "highest": 1.0}
    assert not of_faults(build(loud, BY_LABELS, QUICK))
    assert not of_faults(build(simulate(), PAPERS, QUICK))
    [warning] = of_faults(build(replace(loud, objective="normal-only"), BY_LABELS, QUICK))
    assert "So the search had little to compare its trials by, and recipes that" in warning.sentence


def test_candidates_without_scores_of_faults_are_not_warned_of() -> None:
    assert not of_faults(build(replace(with_held_out({"00": 2}), faults=None), PAPERS, QUICK))


def test_it_is_stored_with_the_final_ensemble(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    fill_normal_only(ledger, "fan")
    comparison = choose(ledger, "fan", config=QUICK)
    assert not of_faults(comparison.final)  # 48 held-out clips
    candidates = load(ledger, "fan")
    few = {id: 2 for id in sorted(set(candidates.normal["id"]))}
    ensemble = build(with_held_out(few, candidates), comparison.final.recipe, QUICK)
    assert len(of_faults(ensemble)) == 1
    assert of_faults(read(write(ledger, ensemble))) == of_faults(ensemble)
