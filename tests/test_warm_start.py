"""The replay of searches over trials that it makes itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.families import family
from asd_ray.ledger import Ledger
from asd_ray.tuning import prior
from benchmarks.warm_start import main, space_of
from tests.tiny_encoders import save_tiny


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


def test_the_prior_of_a_family_with_an_encoder_has_its_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny("ast", tmp_path / "weights" / "ast", config={"max_length": 208}, max_length=208)
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path / "weights"))
    words = ["--make", "--families", "pretrained", "--machines", "fan", "--size", "tiny", "--trials", "4"]
    assert main([str(tmp_path / "run"), *words, "--only", "nothing"]) == 0
    records = Ledger(tmp_path / "run").records()
    space, first = space_of(family("pretrained"), records)
    assert first["encoder"] == "ast"
    observed = prior.observations([("run", record) for record in records], space)
    assert [len(own) for own in observed.values()] == [4], "a space that cannot draw the trials would have none"
