"""A number that is 0 because of one cell with few clips: the cell is named where the number stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, build
from asd_ray.ensembling.cell_scorer import in_words
from asd_ray.ensembling.trust import zero_cell
from asd_ray.reporting import write_report
from tests.ensembling.conftest import make_candidates, make_scores
from tests.ensembling.test_unseen import fill, fresh, with_unseen
from tests.hostile import Verbs

CONFIG = EnsembleConfig(repeats=1, folds=2, draws=20)
BEST = Recipe("best", "best")
WHY = "AUC of id 00, target domain, is 0 in {} normal and {} anomalous clips, and a harmonic mean with a 0 in it is 0"


def upside_down(clips: pd.DataFrame, scores: Any, split: str = "unseen") -> Any:
    """The normal clips of id 00's target domain score highest, which makes one AUC of DCASE 2022 zero."""
    rows = (clips["id"] == "00") & (clips["domain"] == "target") & (clips["label"] == "normal")
    return np.where(rows & (clips["split"] == split), 99.0, scores).astype(np.float32)


def of(ensemble: Ensemble) -> list[str]:
    return [warning.sentence for warning in ensemble.warnings or () if warning.name == zero_cell.NAME]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("03/auc_target", "AUC of id 03, target domain"),
        ("id/7/pauc", "pAUC of id id/7"),
        ("00/auc", "AUC of id 00"),
    ],
)
def test_a_cell_in_words(name: str, words: str) -> None:
    assert in_words(name) == words


def test_the_clips_of_the_cell_are_those_of_the_number() -> None:
    candidates, clips = make_candidates((3.0,), per=20), fresh(2).assign(split="unseen")
    scores = upside_down(clips, make_scores(clips, (3.0,)))
    ensemble = build(with_unseen(candidates, clips, scores), BEST, CONFIG)
    assert ensemble.headline_protocol == "unseen"
    assert ensemble.metrics["unseen"].value < 1e-9 < ensemble.metrics["crossval"].value
    assert of(ensemble) == [f"{WHY.format(2, 4)} (unseen)."]
    assert zero_cell.reason(ensemble) == f"{WHY.format(2, 4)} (unseen)"
    assert not [warning for warning in ensemble.warnings or () if "Do not use it there" in warning.sentence]
    few = next(warning for warning in ensemble.warnings or () if "one anomaly more or less" in warning.sentence)
    assert few.sentence.startswith("2 of 2 ids have few unseen clips (as few as 4 normal clips and 4 anomalous clips)")


def test_a_number_of_test_clips_that_is_0_is_explained_as_well() -> None:
    candidates = make_candidates((3.0,), per=20)
    scores = upside_down(candidates.clips, candidates.scores, "test")
    ensemble = build(replace(candidates, scores=scores), BEST, CONFIG)
    assert ensemble.headline_protocol == "crossval"
    assert of(ensemble) == [f"{WHY.format(20, 40)} (crossval, oracle, cross_id)."]
    assert not of(build(candidates, BEST, CONFIG))
    assert zero_cell.reason(build(candidates, BEST, CONFIG), ensemble.warnings) == ""


def test_the_terminal_and_the_report_name_the_cell_beside_the_number(tmp_path: Path, verbs: Verbs) -> None:
    ledger = fill(tmp_path / "run", change=upside_down)
    lines = verbs("ensemble", "fan", "--run", ledger.layout.root, "--recipe", "top_k").out.splitlines()
    [at] = [at for at, line in enumerate(lines) if line.startswith("  unseen 0.0000 (0.000 … ")]
    assert lines[at + 1] == f"    {WHY.format(4, 8)} (unseen)"
    write_report(ledger)
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    [verdict] = [line for line in report.splitlines() if line.startswith("- fan: catches ")]
    assert "forecast: hmean 0.000, 95 % interval" in verdict
    assert f"; {WHY.format(4, 8)} (unseen);" in verdict
