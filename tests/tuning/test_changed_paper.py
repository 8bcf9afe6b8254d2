"""What a search does to the marks of stored trials after a change of PAPER."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asd_ray.ensembling import choose
from asd_ray.ledger import Ledger, TrialRecord, compact, verify
from asd_ray.tuning.data import DataSource

from ..hostile import Verbs, unharmed
from .good_detector import Good

BODY = f"""from {Good.__module__} import Good
PAPER = {{"x": 1.0}}


def space(trial):
    return {{"x": trial.suggest_float("x", 0, 1)}}


class Wx(Good):
    VERSION = 1

    def __init__(self, context, *, x=1.0):
        super().__init__(context)
"""


@pytest.fixture
def search(verbs: Verbs, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_machines: DataSource) -> Any:
    """Three trials of a class with this PAPER, into the run `r`; what the search prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--data", two_machines.table.root, "--run", "r", "--serial", "--families", "wx_m:Wx", "--trials", 3)

    def run(paper: float, *words: object) -> str:
        (tmp_path / "wx_m.py").write_text(BODY.replace('"x": 1.0', f'"x": {paper!r}'))
        sys.modules.pop("wx_m", None)
        answer = verbs("search", *(words or ("fan",)), *options)
        assert answer.status == 0, answer
        return answer.out

    yield run
    sys.modules.pop("wx_m", None)


def marks(records: list[TrialRecord]) -> list[float]:
    return [record.params["x"] for record in records if record.paper]


def scores(ledger: Ledger) -> list[pd.DataFrame]:
    return [ledger.scores(record) for record in ledger.records()]


@pytest.mark.parametrize("is_compact", [False, True], ids=["own files", "a compact file"])
def test_marks_follow_a_changed_paper_and_nothing_else_changes(search: Any, is_compact: bool, tmp_path: Path) -> None:
    search(1.0)
    ledger = Ledger("r")
    if is_compact:
        compact(ledger)
    before, before_scores = ledger.records(), scores(ledger)
    x = before[1].params["x"]
    told = search(x)
    assert "0 trials run now, 3 in all" in told
    note = "note: PAPER has changed: 1 stored trials are marked as the paper's setting now, and 1 no longer"
    assert note in told
    assert marks(ledger.records()) == [x]
    assert [replace(record, paper=old.paper) for record, old in zip(ledger.records(), before, strict=True)] == before
    for old, new in zip(before_scores, scores(ledger), strict=True):
        pd.testing.assert_frame_equal(old, new)
    assert verify(ledger).is_clean
    for ensemble in choose(ledger, "fan", ["label_free"]).ensembles:
        assert {member.trial for member in ensemble.members} == {before[1].trial}
    with unharmed(tmp_path / "r" / "ledger"):
        assert "PAPER has changed" not in search(x)
    compact(ledger)
    assert marks(Ledger("r").records()) == [x]


def test_the_old_papers_trial_loses_its_mark_when_a_new_one_runs(search: Any) -> None:
    search(1.0)
    assert "PAPER has changed: 0 stored trials are marked as the paper's setting now, and 1 no longer" in search(0.25)
    assert marks(Ledger("r").records()) == [0.25]
    search(1.0)
    assert marks(Ledger("r").records()) == [1.0]


def test_marks_of_joint_trials_change_on_every_machine(search: Any) -> None:
    search(1.0, "fan", "pump", "--jointly")
    x = Ledger("r").records()[1].params["x"]
    assert "2 stored trials are marked as the paper's setting now, and 2 no longer" in search(
        x, "fan", "pump", "--jointly"
    )
    assert [marks(Ledger("r").records(machine)) for machine in ("fan", "pump")] == [[x], [x]]
