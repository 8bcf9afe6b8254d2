from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from asd_ray.ledger import Ledger
from tests.hostile import Verbs
from tests.reporting.test_submission import choose, clips_of, commit


@pytest.fixture
def run(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path / "run")
    commit(ledger, pd.concat([clips_of("fan", id, 2022) for id in ("03", "05")]), 2022)
    choose(ledger)
    return tmp_path / "run"


def test_the_files_that_write_writes_pass_check(run: Path, tmp_path: Path, verbs: Verbs) -> None:
    folder = tmp_path / "ours"
    answer = verbs("submission", "write", run, folder)
    assert (answer.status, answer.err) == (0, "")
    assert f"80 clips in 4 files of DCASE 2022 → {folder}" in answer.out
    answer = verbs("submission", "check", folder, "--year", 2022, "--run", run)
    assert answer.status == 0
    assert f"{folder}: 80 clips in 4 files are right by the clips of {run}" in answer.out


def test_check_lists_every_problem(run: Path, tmp_path: Path, verbs: Verbs) -> None:
    folder = tmp_path / "ours"
    verbs("submission", "write", run, folder)
    (folder / "decision_result_fan_section_03_test.csv").unlink()
    scores = folder / "anomaly_score_fan_section_05_test.csv"
    scores.write_text(scores.read_text().partition("\n")[2])
    words = ("has 2 problems", "decision_result_fan_section_03_test.csv", "lacks 1 of 40 clips")
    verbs.refused("submission", "check", folder, "--year", 2022, "--run", run, words=words)


def test_wrong_arguments_are_named(run: Path, tmp_path: Path, verbs: Verbs) -> None:
    verbs.refused("submission", "write", run, "", words=("the folder to write has no name",))
    verbs.refused("submission", "write", tmp_path / "nothing", tmp_path / "ours", words=("no run here",))
    verbs.refused("submission", "check", tmp_path / "ours", words=("--year",))
    assert not (tmp_path / "ours").exists()
