"""The table of how much a search flatters its own numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from asd_ray.ledger import Ledger
from benchmarks.flattery import main, summary


def test_each_number_is_compared_with_the_one_of_unseen_clips() -> None:
    table = pd.DataFrame(
        {"oracle": [0.9, 0.8], "unseen": [0.7, 0.7], "single oracle": [0.85, 0.75], "single unseen": [0.6, 0.7]}
    )
    rows = summary(table)
    assert rows.loc["mean", "oracle"] == pytest.approx(0.85)
    assert rows.loc["above unseen", "oracle"] == pytest.approx(0.15)
    assert rows.loc["above unseen", "single oracle"] == pytest.approx(0.15), "the best single is compared with itself"
    assert rows.loc["above unseen", "unseen"] == 0
    assert rows.loc["standard error", "oracle"] == pytest.approx(0.05)


def test_the_smallest_form_searches_both_halves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--machines", "fan", "--trials", "2", "--seeds", "1", "--epochs", "1", "--size", "tiny"]
    assert main([str(tmp_path), *words]) == 0
    first, second, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("fan 0 False {'oracle': ")
    assert second.startswith("fan 0 True {'oracle': ")
    assert [row.split("  ")[0] for row in rows[1:]] == ["mean", "above unseen", "standard error"]
    for run in ("run-tiny-0", "run-tiny-0-exchanged"):
        assert {record.machine for record in Ledger(tmp_path / run).records()} == {"fan"}
