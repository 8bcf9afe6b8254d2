"""Machines and families whose names end as a file's does: the name rule allows them, so every verb reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asd_ray.ensembling import stored
from asd_ray.ledger import Ledger
from tests.ensembling.conftest import make_ledger
from tests.hostile import Verbs, unharmed

NAMES = ("fan.json", "fan.parquet")


@pytest.fixture
def run(tmp_path: Path) -> Ledger:
    made = {"idnn": [{"lr": 0.1}, {"lr": 0.2}], "mine.parquet": [{"lr": 0.3}], "mine.json": [{"lr": 0.3}]}
    for machine in NAMES:
        ledger = make_ledger(tmp_path / "run", made, machine=machine, strength=0.4, variants=("mse",))
    return ledger


@pytest.mark.parametrize("machine", NAMES)
def test_a_machine_named_as_a_file_is_listed_verified_combined_and_reported(
    run: Ledger, verbs: Verbs, machine: str
) -> None:
    root = run.layout.root
    with unharmed(Path(root)):
        assert len(json.loads(verbs("ledger", "ls", root, "--json").out)) == 8
        assert len(json.loads(verbs("ledger", "ls", root, "--machine", machine, "--json").out)) == 4
        verified = verbs("ledger", "verify", root)
        assert verified.status == 0, verified
        assert "checked 8 files" in verified.out
        assert not Path(run.layout.set_aside).exists()
        words = ("--recipe", "best_single", "--folds", "2", "--repeats", "1")
        assert verbs("ensemble", machine, "--run", root, *words).status == 0
    assert sorted(stored(run).ensembles[machine]) == ["best_single", "final"]
    assert verbs("ensemble", "--verify", run.layout.ensemble_file(machine, "final")).status == 0
    assert verbs("report", "--run", root).status == 0
    assert list(json.loads(Path(run.layout.report, "report.json").read_text())["machines"]) == [machine]
