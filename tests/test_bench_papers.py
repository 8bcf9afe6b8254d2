"""The benchmark of papers' tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.clips.demo import make_demo
from asd_ray.papers import PAPERS, find
from benchmarks.bench_papers import main, tables


def test_every_table_of_every_paper_is_run() -> None:
    found = [(paper.key, table.number) for paper, table in tables(list(PAPERS))]
    assert len(found) == len(set(found)) == sum(len(find(key).tables) for key in PAPERS)


def test_tables_are_printed_and_what_cannot_be_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_demo(tmp_path / "demo", size="tiny", machines=["fan"])
    words = ["--data", str(data), "--run", str(tmp_path / "run"), "--serial", "--paper", "baseline2020", "baseline2021"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "## baseline2020, table development" in printed
    assert "| Autoencoder | fan | AUC | 65.16 | " in printed
    assert "Not run: no row of table evaluation can be run" in printed
    assert "Failed: 0" in printed
    assert "the sound is the synthetic demo set" in printed
    assert main([*words[:-2], "cho2022", "--machine", "pump"]) == 0
    assert "Not run: it has none of these machines" in capsys.readouterr().out
    assert main([*words[:-2], "baseline2020", "--epochs-cap", "0"]) == 1
    assert "Failed: 1\n- baseline2020, table development: " in capsys.readouterr().out
