"""Four real systems of DCASE 2020 (Haunschmid and Praher) on its evaluation set: imported, combined, measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, build, find_recipe, load, read_recipe, scores_of, verify, write
from asd_ray.ledger import Ledger, import_submission
from asd_ray.metrics import hmean

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "dcase2020"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden data of DCASE 2020 is not beside the project")
ALL_FOUR = 'select = "top_k"\nk = 4\ncombine = ["mean", "max"]\nby = "test"\n'
# The ledger keeps scores as float32: of these systems' best, one pair of ToyConveyor's clips ties there, of 71,000.
TOLERANCES = {"pump": 1e-12, "ToyConveyor": 4e-5}
CONFIG = EnsembleConfig(repeats=2, draws=100)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    made = Ledger(tmp_path_factory.mktemp("golden") / "run")
    for system in sorted((GOLDEN / "submissions").iterdir()):
        import_submission(made, system, 2020, GOLDEN / "ground_truth")
    return made


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
    return stored["systems"]


@pytest.fixture(scope="module")
def of_pump(ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ensemble]:
    path = tmp_path_factory.mktemp("recipes") / "all_four.toml"
    path.write_text(ALL_FOUR)
    candidates = load(ledger, "pump", "test")
    recipes = [*read_recipe(path).ways(), *find_recipe("best_single").ways(), *find_recipe("greedy").ways()]
    return {each.name: build(candidates, replace(each, by="test"), CONFIG) for each in recipes}


@pytest.mark.parametrize(("machine", "tolerance"), TOLERANCES.items())
def test_the_best_single_has_the_official_evaluators_numbers(
    ledger: Ledger, expected: dict[str, Any], machine: str, tolerance: float
) -> None:
    [recipe] = find_recipe("best_single").ways()
    ensemble = build(load(ledger, machine, "test"), replace(recipe, by="test"), CONFIG)
    of_system = {
        system: {
            f"{each}/{name}": numbers[name]
            for each, numbers in entry["machines"][machine]["ids"].items()
            for name in ("auc", "pauc")
        }
        for system, entry in expected.items()
    }
    best = max(of_system, key=lambda system: hmean(list(of_system[system].values())))
    assert [member.name for member in ensemble.members] == [best]
    assert ensemble.candidates.tried == len(of_system) == 4
    assert ensemble.metrics["oracle"].cells == pytest.approx(of_system[best], abs=tolerance)
    assert ensemble.metrics["oracle"].value == pytest.approx(hmean(list(of_system[best].values())), abs=tolerance)


def test_choosing_by_the_measured_clips_never_looks_worse_than_crossval(of_pump: dict[str, Ensemble]) -> None:
    assert set(of_pump) == {"all_four.mean", "all_four.max", "best_single", "greedy.mean", "greedy.max"}
    for name, ensemble in of_pump.items():
        metrics = ensemble.metrics
        low, high = metrics["crossval"].interval
        assert metrics["crossval"].value <= metrics["oracle"].value + 0.002, name
        assert low < metrics["oracle"].value < high
        assert 0.75 < metrics["crossval"].value < 0.85


def test_what_is_not_chosen_has_no_gap(of_pump: dict[str, Ensemble]) -> None:
    for name in ("all_four.mean", "all_four.max"):
        assert len(of_pump[name].members) == 4
        assert of_pump[name].metrics.gap == pytest.approx(0, abs=0.001)


def test_imported_systems_are_standardised_by_test_clips_and_said_so(of_pump: dict[str, Ensemble]) -> None:
    for ensemble in of_pump.values():
        assert ensemble.transductive
        assert any(note.startswith("transductive") for note in ensemble.notes)


def test_the_mean_of_all_four_is_the_mean_of_their_z_scores(ledger: Ledger, of_pump: dict[str, Ensemble]) -> None:
    candidates, result = load(ledger, "pump", "test"), scores_of(ledger, of_pump["all_four.mean"])
    ids = candidates.clips["id"].to_numpy()
    z = np.empty(candidates.scores.shape)
    for each in set(ids):
        own = candidates.scores[:, ids == each].astype(float)
        z[:, ids == each] = (own - own.mean(axis=1, keepdims=True)) / own.std(axis=1, keepdims=True)
    assert result["clip"].tolist() == candidates.clips["clip"].tolist()
    np.testing.assert_allclose(result["score"], z.mean(axis=0), rtol=1e-9, atol=1e-12)


def test_the_numbers_are_rebuilt_from_the_ledger(ledger: Ledger, of_pump: dict[str, Ensemble]) -> None:
    write(ledger, of_pump["greedy.mean"], final=True)
    differences = verify(ledger, of_pump["greedy.mean"])
    assert len(differences) > 50
    assert max(differences.values()) <= 1e-9
