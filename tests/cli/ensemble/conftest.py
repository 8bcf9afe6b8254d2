"""A run with candidates of known quality, and the command as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensemble import main
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash

QUICK = ("--folds", "2", "--repeats", "1")
FAMILIES = ("idnn", "group_made")


def make_run(root: Path, machine: str = "fan", splits: tuple[str, ...] = ("held_out", "test"), **record: Any) -> Path:
    """Two trials of each of two families, on 32 test clips; `test_label` may take the place of the labels."""
    test_label = record.pop("test_label", None)
    rows = [
        (
            f"{split}_{each}_{label}_{number:02d}.wav",
            each,
            "source",
            split,
            test_label if split == "test" and test_label else label,
        )
        for split in splits
        for each in ("00", "02")
        for label in (("normal", "anomaly") if split == "test" else ("normal",))
        for number in range(8)
    ]
    clips = pd.DataFrame(rows, columns=["clip", "id", "domain", "split", "label"])
    loud = clips["clip"].str.contains("anomaly").to_numpy()
    for seed, (family, number) in enumerate((family, number) for family in FAMILIES for number in (0, 1)):
        noise = np.random.default_rng([seed, len(machine)]).normal(size=len(clips))
        fields: dict[str, Any] = {
            "trial": trial_hash(machine=machine, family=family, number=number, other=repr(record)),
            "name": f"{machine}-{family}-{number:04d}",
            "machine": machine,
            "family": family,
            "number": number,
            "dataset": "demo",
            "data_fingerprint": "f0f0f0f0",
            "settings": Settings(),
            "paper": number == 0,
        }
        Ledger(root).commit(
            TrialRecord(**(fields | record)), long_scores(clips, {"mse": noise + (1 + seed / 4) * loud})
        )
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command prints that ends well."""
    monkeypatch.setenv("COLUMNS", "200")

    def act(*words: object) -> str:
        assert main([*map(str, words)]) == 0
        return capsys.readouterr().out

    return act


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The message of a command that ends with status 2."""

    def act(*words: object, status: int = 2) -> str:
        expected = status
        try:
            status = main([*map(str, words)])
        except SystemExit as error:  # argparse's own
            status = error.code
        assert status == expected
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return printed.err

    return act
