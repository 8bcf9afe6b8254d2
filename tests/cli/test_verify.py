from __future__ import annotations

import json
from pathlib import Path

import pytest

from asd_ray.ledger import Ledger
from tests.hostile import Verbs
from tests.reporting.conftest import choose, fill


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    fill(Ledger(folder), "fan", trials=2)
    choose(folder, "best_single")
    return folder


def test_a_whole_run_is_verified(run: Path, verbs: Verbs) -> None:
    answer = verbs("verify", run)
    assert answer.status == 0
    assert "ledger: clean" in answer.out
    assert f"{run}/ensembles/fan/final.json: " in answer.out
    assert "values agree with the ledger" in answer.out
    assert "ensembles: 2 files, 0 with problems" in answer.out


def test_an_ensemble_file_that_was_changed_is_named_with_its_cure(run: Path, verbs: Verbs) -> None:
    path = run / "ensembles/fan/final.json"
    ensemble = json.loads(path.read_text())
    ensemble["threshold"]["value"] += 1
    path.write_text(json.dumps(ensemble))
    (run / "ensembles/fan/mine.json").write_text("{")
    answer = verbs("verify", run)
    assert answer.status == 1
    assert "ledger: clean" in answer.out
    assert f"{path}: " in answer.out
    assert "threshold/value" in answer.out
    assert f"the file or the ledger was changed; choose the ensemble again: asd-ray ensemble fan --run {run}" in (
        answer.out
    )
    assert "mine.json: this is no JSON" in answer.out
    assert "ensembles: 3 files, 2 with problems" in answer.out


def test_a_broken_trial_is_set_aside_and_its_ensemble_is_a_problem(run: Path, verbs: Verbs) -> None:
    for path in (run / "ledger").rglob("*.parquet"):
        path.write_bytes(b"half")
    answer = verbs("verify", run)
    assert answer.status == 1
    assert "set aside:" in answer.out
    assert "final.json: cannot be built again: " in answer.out
    assert verbs("ledger", "verify", run).status == 0  # the broken files are away


def test_no_run_is_an_error(tmp_path: Path, verbs: Verbs) -> None:
    verbs.refused("verify", tmp_path / "nothing", words=("no run here",))
