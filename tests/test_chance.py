"""The benchmark of detectors that hear nothing: the table of docs/how-it-works/oracle.md."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from asd_ray import Run
from benchmarks.chance import PROTOCOLS, main, numbers_of, put_random_trials

PAGE = Path(__file__).parents[1] / "docs" / "how-it-works" / "oracle.md"


def test_oracle_is_far_above_the_truth_and_unseen_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--candidates", "12", "--seeds", "1"]) == 0
    header, _, row = capsys.readouterr().out.splitlines()[-3:]
    assert header.split() == ["best", "single", *PROTOCOLS]
    single, oracle, _, _, unseen = map(float, row.split()[1:])
    assert oracle >= single > 0.52
    assert abs(unseen - 0.5) < 0.15


def test_the_trials_are_random_and_the_same_for_a_seed(tmp_path: Path) -> None:
    tables = []
    for name in ("a", "b"):
        put_random_trials(tmp_path / name, 2, seed=3)
        run = Run(tmp_path / name)
        tables.append(pd.concat([run.scores(record) for record in run.records()], ignore_index=True))
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) == 2 * 240
    assert abs(tables[0]["score"].mean()) < 0.3


def test_the_cheap_row_of_the_page_is_what_the_command_prints(tmp_path: Path) -> None:
    rows = []
    for seed in range(5):
        put_random_trials(tmp_path / str(seed), 3, seed)
        rows.append(numbers_of(tmp_path / str(seed)))
    (cells,) = re.findall(r"(?m)^\| 3 \| (.+) \| 0\.5 \|$", PAGE.read_text())
    printed = dict(zip(("best single", *PROTOCOLS), map(float, cells.split(" | ")), strict=True))
    assert pd.DataFrame(rows).mean().to_dict() == pytest.approx(printed, abs=0.002)


def test_the_page_has_a_row_per_number_of_candidates() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| 0\.\d{3} ", PAGE.read_text())
    assert rows == ["3", "30", "300"]
