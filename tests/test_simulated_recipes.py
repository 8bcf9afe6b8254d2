"""The two simulations about recipes: the worlds differ as they say, and the tables are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kurtosis

from benchmarks import minimum_or_mean, simulated_recipes
from benchmarks.simulated_recipes import FAMILIES, World
from tests.ensembling.conftest import make_ledger

SPLITS = ("train", "held_out", "test")


def test_tails_are_heavy_only_where_the_world_says_so() -> None:
    silence = np.zeros(4000)
    plain, heavy = (kurtosis(World(0, tails, False).scores(silence), axis=1) for tails in (False, True))
    assert np.all(np.abs(plain) < 0.5)
    assert np.all(heavy > 0.5)


def test_a_family_hears_the_kinds_of_anomaly_that_its_world_gives_it() -> None:
    assert World(0, False, False).hears.all()
    assert World(0, False, True).hears.sum(axis=1).tolist() == [simulated_recipes.HEARD] * len(FAMILIES)


def test_the_table_has_every_recipe_and_greedy_in_z_differs_from_itself_by_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_recipes, "TRUTH", 400)
    assert (
        simulated_recipes.main(["--machines", "2", "--worlds", "both", "--recipe", "best_single", "--recipe", "greedy"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| best_single", "| greedy.mean", "| greedy.max"]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].split(" | ")[1].endswith("(0.000)")


def test_the_minimum_is_compared_with_the_mean_in_each_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_ledger(tmp_path, per=20, splits=SPLITS)
    assert minimum_or_mean.main([str(tmp_path), "--draws", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(int(line.split(" | ")[1]) for line in lines[2:]) == 50
