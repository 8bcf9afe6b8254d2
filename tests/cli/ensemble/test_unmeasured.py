"""The verb on machines whose test clips can measure nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.ensemble.conftest import make_run


def test_without_test_labels_there_are_decisions_and_no_numbers(
    tmp_path: Path, said: Callable[..., str], refused: Callable[..., str]
) -> None:
    run = make_run(tmp_path / "run", test_label="unknown")
    message = refused("fan", "--run", run, "--recipe", "greedy")
    assert (
        "there are no known anomalies (the test clips have no labels); choose without labels: --recipe label_free"
        in message
    )
    output = said("fan", "--run", run, "--recipe", "label_free")
    assert " families; not measured: there are no known anomalies\n" in output
    assert "note: not measured: there are no known anomalies; the test clips have no labels" in output
    assert "oracle:" not in output
    assert json.loads((run / "ensembles/fan/final.json").read_text())["metrics"] == {}


def test_normal_test_clips_alone_measure_nothing(tmp_path: Path, said: Callable[..., str]) -> None:
    run = make_run(tmp_path / "run", test_label="normal")
    output = said("fan", "--run", run, "--wide")
    assert "note: not measured: there are no anomalies; all test clips are normal" in output
    assert output.count("not followed, as they choose by labels: ") == 1
    assert "label_free.mean, the first of 2 recipes in a fixed order, as no label may choose" in output


def test_anomalies_alone_measure_nothing(tmp_path: Path, said: Callable[..., str]) -> None:
    """A test set without normal clips has no AUC, so recipes that use no label choose, and labels are not asked."""
    run = make_run(tmp_path / "run", test_label="anomaly")
    output = said("fan", "--run", run)
    assert "not measured: no id has both normal clips and anomalies" in " ".join(output.split())
    assert "oracle:" not in output
    final = json.loads((run / "ensembles/fan/final.json").read_text())
    assert final["metrics"] == {}
    assert final["recipe"]["name"].startswith("label_free")
