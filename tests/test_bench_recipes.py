"""The benchmark of recipes and units."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_recipes import machines_of, main, table
from tests.ensembling.conftest import SMALL, make_ledger


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for machine in ("fan", "pump"):
        make_ledger(tmp_path / "run", SMALL, machine, per=4)
    return tmp_path / "run"


def test_every_recipe_is_measured_in_every_unit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--recipe", "best_single", "--recipe", "top_k", "--standardise", "z", "--standardise", "rank")
    assert main([str(run), *options, "--repeats", "1"]) == 0
    printed = capsys.readouterr()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.out.splitlines()]
    assert lines[0] == ["recipe", "run: z", "run: rank"]
    assert [line[0] for line in lines[2:]] == ["best_single", "top_k.mean", "top_k.max", "nested"]
    assert all(0 < float(cell.strip("*")) < 1 for line in lines[2:] for cell in line[1:])
    assert "run pump: 6 candidates" in printed.err


def test_machines_may_be_named_and_test_scores_alone_standardise_themselves(run: Path, tmp_path: Path) -> None:
    [(name, [pump])] = machines_of([f"{run}:pump"])
    assert (name, pump.machine, pump.by) == ("run", "pump", "held_out")
    make_ledger(tmp_path / "imported", SMALL, splits=("test",))
    [(_, [imported])] = machines_of([str(tmp_path / "imported")])
    assert imported.by == "test"


def test_the_best_recipe_of_each_run_is_bold() -> None:
    one = {("a", "z"): 0.5, ("b", "z"): 0.75, ("nested", "z"): 0.9}
    two = {("a", "z"): 0.9, ("b", "z"): 0.8, ("nested", "z"): 0.8}
    assert table({"one": one, "two": two}, ["z"]).splitlines()[2:] == [
        "| a | 0.5000 | **0.9000** |",
        "| b | **0.7500** | 0.8000 |",
        "| nested | 0.9000 | 0.8000 |",
    ]
