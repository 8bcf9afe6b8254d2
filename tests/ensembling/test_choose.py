"""Choosing as a function: what a notebook calls, and what it gets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from asd_ray.ensembling import EnsembleConfig, Recipe, choose, finals, find_ways, read
from asd_ray.ensembling.choose import over_machines, skipped_notes
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.metrics import hmean
from asd_ray.run import Run
from tests.ensembling.conftest import FAMILIES, SMALL, make_ledger

CONFIG = EnsembleConfig(repeats=1, folds=2, draws=20)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    make_ledger(tmp_path / "run", SMALL, "fan")
    return make_ledger(tmp_path / "run", SMALL, "pump")


def test_the_ensembles_are_written_and_the_best_is_the_final_one(ledger: Ledger) -> None:
    comparison = choose(ledger, "fan", ["best_single", "top_k"], CONFIG)
    assert [ensemble.name for ensemble in comparison.ensembles][0] == comparison.final.name
    assert {ensemble.name for ensemble in comparison.ensembles} == {"best_single", "top_k.mean", "top_k.max"}
    values = [ensemble.headline.value for ensemble in comparison.ensembles if ensemble.headline]
    assert values == sorted(values, reverse=True)
    assert read(comparison.path) == comparison.final == finals(ledger)["fan"]
    assert (comparison.machine, comparison.earlier, comparison.skipped) == ("fan", 0, ())
    assert comparison.summary.startswith(f"{comparison.final.name}, the best of 3 recipes by crossval")
    again = choose(ledger, "fan", ["greedy"], CONFIG)
    assert again.earlier == 3
    assert "the best of 5 recipes by crossval, 3 of them stored before" in again.summary


def test_a_recipe_may_be_a_name_a_file_or_an_object(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('select = "top_k"\nk = 2\n')
    comparison = choose(ledger, "fan", ["best_single", path, Recipe("ours", "top_k", ("mean", "min"), k=3)], CONFIG)
    sources = {ensemble.name: ensemble.recipe_source for ensemble in comparison.ensembles}
    assert sources == {"best_single": "", "mine": str(path), "ours.mean": "", "ours.min": ""}
    with pytest.raises(AsdRayError, match="best_single: two recipes would be called best_single; name it once"):
        find_ways(["best_single", Recipe("best_single", "best")])


def test_the_final_one_may_be_chosen_by_a_user(ledger: Ledger) -> None:
    comparison = choose(ledger, "fan", ["label_free"], CONFIG, final=True)
    assert comparison.final.tried is not None
    assert comparison.final.tried.chosen_by == "user"
    with pytest.raises(AsdRayError, match="final makes the best of the named recipes the final ensemble"):
        choose(ledger, "fan", final=True)


def test_a_recipe_that_cannot_be_followed_is_one_line_for_all_machines(ledger: Ledger) -> None:
    ledger = make_ledger(Path(ledger.layout.root), {"aegan_ad": FAMILIES["aegan_ad"]}, "pump")
    compared = [choose(ledger, machine, config=CONFIG) for machine in ("fan", "pump")]
    notes = skipped_notes(compared)
    root = ledger.layout.root
    assert [note for note in notes if "aegan_best_score" in note] == [
        "fan: recipe aegan_best_score needs aegan_ad (its paper's setting), which no complete trial has; run: asd-ray "
        f"search --families aegan_ad --run {root}"
    ]
    [giri] = [note for note in notes if "giri_system_2" in note]
    images = "channels 1, frames 64, hop 8, test_hop 8"
    wanted = (
        f"net 'mobilenet_v2', head 'softmax', {images}, labels 'real', supplemental_class False, variant probability"
    )
    assert giri.startswith("recipe giri_system_2 needs group_made (frames 5, ")
    assert "variant all), but the variants of group_made are mse, nll; name one of these; and needs " in giri
    assert f"; and needs id_classifier ({wanted}), which no complete trial has; run: " in giri
    images = "--set channels=1 --set frames=64 --set hop=8 --set test_hop=8"
    classes = "--set labels=real --set supplemental_class=false"
    settings = f"--set net=mobilenet_v2 --set head=softmax {images} {classes}"
    assert giri.endswith(f"; run: asd-ray search --families id_classifier {settings} --run {root}")
    assert len([note for note in notes if "label_free" not in note]) == 5  # of the papers' systems
    [alone] = [note for note in skipped_notes(compared[:1]) if "aegan" in note]
    assert alone.startswith("recipe aegan_best_score needs aegan_ad")
    assert alone.endswith(f"run: asd-ray search fan --families aegan_ad --run {root}")


def test_a_recipe_that_was_named_must_be_followed(ledger: Ledger) -> None:
    with pytest.raises(AsdRayError, match="^fan: recipe aegan_best_score needs aegan_ad .*, which no complete"):
        choose(ledger, "fan", ["aegan_best_score"], CONFIG)


def test_a_machine_with_test_scores_alone_is_standardised_by_them(tmp_path: Path) -> None:
    imported = make_ledger(tmp_path / "imported", splits=("test",), source="import")
    comparison = choose(imported, "fan", ["greedy", "label_free"], CONFIG)
    assert comparison.standardised_by_test
    assert {ensemble.recipe.by for ensemble in comparison.ensembles} == {"test"}
    assert all(ensemble.transductive for ensemble in comparison.ensembles)
    with pytest.raises(AsdRayError, match="no candidate has scores of held_out clips"):
        choose(imported, "fan", ["greedy"], CONFIG, by="held_out")
    searched = make_ledger(tmp_path / "searched", splits=("train", "test"))
    with pytest.raises(AsdRayError, match="no candidate has scores of held_out clips"):
        choose(searched, "fan", ["greedy"], CONFIG)


def test_the_mean_over_machines_is_of_protocols_that_measured_them_all(ledger: Ledger) -> None:
    of_machine: dict[str, Any] = {
        "fan": choose(ledger, "fan", ["greedy"], CONFIG).final,
        "pump": choose(ledger, "pump", ["label_free"], CONFIG).final,
    }
    means = over_machines(of_machine)
    assert set(means) == {"oracle", "crossval", "nested"}  # each final one is the best of two recipes
    values = [final.metrics["crossval"].value for final in of_machine.values()]
    assert means["crossval"] == pytest.approx(hmean(values))
    assert over_machines({}) == {}


def test_a_unit_takes_the_place_of_each_recipes_own(ledger: Ledger) -> None:
    comparison = choose(ledger, "fan", ["top_k", "smooth_weights"], CONFIG, standardise="rank")
    assert {ensemble.recipe.standardise.how for ensemble in comparison.ensembles} == {"rank"}
    assert all(ensemble.statistics.reference for ensemble in comparison.ensembles)
    own = {each.name: each.recipe.standardise.how for each in choose(ledger, "fan", None, CONFIG).ensembles}
    assert own["smooth_weights"] == "open_rank"
    assert own["label_free.mean"] == "z"
    with pytest.raises(AsdRayError, match="unknown way to standardise 'zed'"):
        choose(ledger, "fan", ["top_k"], CONFIG, standardise="zed")


def test_the_other_runs_are_one_or_several_and_opened_before_anything_is_written(
    ledger: Ledger, tmp_path: Path
) -> None:
    other = make_ledger(tmp_path / "other", SMALL, "valve")
    choose(other, "valve", ["top_k"], CONFIG)
    run, options = Run(ledger.layout.root), {"repeats": 1, "folds": 2, "draws": 20}
    with pytest.raises(AsdRayError, match="absent"):
        run.compare("fan", ["top_k"], others=[other.layout.root, tmp_path / "absent"], **options)
    assert not run.ensembles()
    for others in (other.layout.root, Path(other.layout.root), Run(other.layout.root), [other.layout.root]):
        final = run.compare("fan", ["top_k"], others=others, **options).final
        assert final.notes[-1].endswith("chosen by the labels of valve")


def test_a_final_ensemble_of_lost_scores_stays_and_is_no_error(ledger: Ledger, tmp_path: Path) -> None:
    choose(ledger, "fan", ["best_single"], CONFIG, by="train")
    less = make_ledger(tmp_path / "less", SMALL, "fan", splits=("held_out", "test"))
    shutil.copytree(Path(ledger.layout.root) / "ensembles", tmp_path / "less" / "ensembles")
    comparison = choose(less, "fan", ["top_k"], CONFIG, by="held_out")
    assert comparison.final.recipe.by == "train"
    assert any("its candidates are no longer in the ledger" in note for note in comparison.notes)
