"""What a search does to the marks of stored trials after a change of PAPER or PAPER_OF."""

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
    """Three trials of a class with this PAPER and PAPER_OF, into the run `r`; what the search prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--data", two_machines.table.root, "--run", "r", "--serial", "--families", "wx_m:Wx", "--trials", 3)

    def run(paper: float, *words: object, paper_of: Any = None) -> str:
        text = BODY.replace('"x": 1.0', f'"x": {paper!r}')
        (tmp_path / "wx_m.py").write_text(text + f"\n\nPAPER_OF = {paper_of or {}!r}\n")
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
    note = "note: the paper's setting has changed: 1 stored trials are marked with it now, and 1 no longer"
    assert note in told
    assert marks(ledger.records()) == [x]
    assert [replace(record, paper=old.paper) for record, old in zip(ledger.records(), before, strict=True)] == before
    for old, new in zip(before_scores, scores(ledger), strict=True):
        pd.testing.assert_frame_equal(old, new)
    assert verify(ledger).is_clean
    for ensemble in choose(ledger, "fan", ["label_free"]).ensembles:
        assert {member.trial for member in ensemble.members} == {before[1].trial}
    with unharmed(tmp_path / "r" / "ledger"):
        assert "setting has changed" not in search(x)
    compact(ledger)
    assert marks(Ledger("r").records()) == [x]


def test_the_old_papers_trial_loses_its_mark_when_a_new_one_runs(search: Any) -> None:
    search(1.0)
    assert "setting has changed: 0 stored trials are marked with it now, and 1 no longer" in search(0.25)
    assert marks(Ledger("r").records()) == [0.25]
    search(1.0)
    assert marks(Ledger("r").records()) == [1.0]


def test_marks_of_joint_trials_change_on_every_machine(search: Any) -> None:
    search(1.0, "fan", "pump", "--jointly")
    x = Ledger("r").records()[1].params["x"]
    assert "2 stored trials are marked with it now, and 2 no longer" in search(x, "fan", "pump", "--jointly")
    assert [marks(Ledger("r").records(machine)) for machine in ("fan", "pump")] == [[x], [x]]


def of_fan(source: DataSource, x: float) -> dict[int, Any]:
    """A PAPER_OF for fan in the edition of these clips, and for pump in another one."""
    assert source.table.year
    return {source.table.year: {"fan": {"x": x}}, source.table.year - 1: {"pump": {"x": x}}}


def test_the_first_trial_of_a_machine_is_the_papers_on_it(search: Any, two_machines: DataSource) -> None:
    search(1.0, "fan", "pump", paper_of=of_fan(two_machines, 0.25))
    for machine, x in (("fan", 0.25), ("pump", 1.0)):
        first, *others = Ledger("r").records(machine)
        assert (first.number, first.params["x"], first.paper) == (0, x, True)
        assert len(others) == 2
        assert not any(record.paper for record in others)
    assert "0 trials run now, 6 in all" in search(1.0, "fan", "pump", paper_of=of_fan(two_machines, 0.25))


def test_a_joint_study_begins_with_the_plain_paper(search: Any, two_machines: DataSource) -> None:
    """It is marked as the paper's setting only if it is that of each machine."""
    search(1.0, "fan", "pump", "--jointly", paper_of=of_fan(two_machines, 0.25))
    assert [Ledger("r").records(machine)[0].params["x"] for machine in ("fan", "pump")] == [1.0, 1.0]
    assert [marks(Ledger("r").records(machine)) for machine in ("fan", "pump")] == [[], []]
    assert "2 stored trials" in search(1.0, "fan", "pump", "--jointly")
    assert [marks(Ledger("r").records(machine)) for machine in ("fan", "pump")] == [[1.0], [1.0]]


def test_a_run_with_the_plain_paper_runs_the_machines_own_setting_once(search: Any, two_machines: DataSource) -> None:
    search(1.0, "fan", "pump")
    before = Ledger("r").records("fan")
    told = search(1.0, "fan", "pump", paper_of=of_fan(two_machines, 0.25))
    assert "1 trial run now, 7 in all" in told
    assert "setting has changed: 0 stored trials are marked with it now, and 1 no longer" in told
    after = Ledger("r").records("fan")
    assert [record.params["x"] for record in after] == [*(record.params["x"] for record in before), 0.25]
    assert [record.paper for record in after] == [False, False, False, True]
    assert marks(Ledger("r").records("pump")) == [1.0]
    again = search(1.0, "fan", "pump", paper_of=of_fan(two_machines, 0.25))
    assert "0 trials run now, 7 in all" in again
    assert "setting has changed" not in again
    search(1.0)  # without PAPER_OF, so the mark goes back
    assert marks(Ledger("r").records("fan")) == [1.0]


def test_set_replaces_the_machines_own_setting(search: Any, two_machines: DataSource) -> None:
    search(1.0, "fan", "--set", "x=0.5", paper_of=of_fan(two_machines, 0.25))
    records = Ledger("r").records()
    assert [(record.params["x"], record.paper) for record in records] == [(0.5, False)]
    search(1.0, "fan", "--set", "x=0.25", paper_of=of_fan(two_machines, 0.25))
    assert marks(Ledger("r").records()) == [0.25]


def test_a_wrong_paper_of_ends_the_search_before_it_begins(
    verbs: Verbs, two_machines: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.py"
    shipped = (Path(__file__).parents[2] / "search_spaces" / "twfr_gmm.py").read_text()
    path.write_text(f"{shipped}\n\nPAPER_OF = {{2022: {{'fan': {{'r': 3.0}}}}}}\n")
    options = ("--data", two_machines.table.root, "--run", "r", "--serial", "--families", "twfr_gmm")
    answer = verbs("search", "pump", *options, "--space", path)
    assert answer.status == 2
    assert f"{path}: PAPER_OF[2022]['fan']['r'] = 3 is out of the range 0 … 1 of space(); widen it" in answer.err
    assert not (tmp_path / "r").exists()
