"""The replay of searches over trials that it makes itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.ledger import Ledger
from benchmarks.warm_start import main


def test_the_smallest_form_makes_its_trials_and_replays_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--families", "twfr_gmm", "--machines", "fan,pump", "--size", "tiny", "--trials", "10"]
    replayed = ["--least", "10", "--seeds", "1", "--only", "warm, TPE", "--without", "learns"]
    assert main([str(tmp_path / "run"), "--make", *words, *replayed]) == 0
    printed = capsys.readouterr().out
    assert "twfr_gmm fan: 10 trials, " in printed
    assert "mean regret of 2 machines and families" in printed
    records = Ledger(tmp_path / "run").records()
    assert [record.status for record in records] == ["complete"] * 20, "none is pruned"
    assert len({str(record.params) for record in records if record.machine == "fan"}) == 10
