"""Which trial a figure shows: the paper's setting first, the best of these, else the newest with a state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.families import family
from asd_ray.figures import find_figure
from asd_ray.figures.request import machines_to_draw
from asd_ray.figures.trials import StatesOfRun
from asd_ray.ledger import Ledger, TrialRecord, long_scores
from asd_ray.ledger.states import States

LOG_MEL, TGRAM = find_figure("liu2022", "2").paper_rows("liu2022")
PAPER = family("stgram").search_space().paper
CLIPS = pd.DataFrame({"clip": ["a", "b"], "id": "00", "domain": "", "split": "test", "label": ["normal", "anomaly"]})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run")


def add(ledger: Ledger, number: int, objective: float | None, *, state: bool = True, **params: Any) -> None:
    trial = f"t{number:012x}"
    ledger.commit(
        TrialRecord(
            trial=trial,
            name=f"fan-stgram-{number:04d}",
            machine="fan",
            family="stgram",
            number=number,
            params={**PAPER, **params},
            objective=objective,
            epochs=params.get("epochs", PAPER["epochs"]),
            status="complete",
            created=f"2026-01-{number + 1:02d}T00:00:00+00:00",
        ),
        long_scores(CLIPS, {"nll": np.zeros(2)}),
    )
    if state:
        States(ledger).put("stgram", trial, b"not read here")


def test_the_best_at_the_paper_s_setting_whatever_its_epochs(ledger: Ledger) -> None:
    of_row = {"inputs": "sgram", "head": "softmax"}
    add(ledger, 0, 0.6, **of_row)
    add(ledger, 1, 0.7, **of_row, epochs=3)
    add(ledger, 2, 0.9, **of_row, state=False)
    add(ledger, 3, 0.95, **of_row, lr=1e-3)
    add(ledger, 4, None, **of_row)
    chosen = StatesOfRun(ledger).choose(LOG_MEL, "fan", "inputs")
    assert chosen is not None
    setting = "the paper's setting (LogMel-MFN), which has 200 epochs, trained for this machine alone"
    assert chosen.caption == f"fan-stgram-0001, 3 epochs: {setting}"


def test_otherwise_the_newest_that_the_row_is_told_by(ledger: Ledger) -> None:
    add(ledger, 0, 0.9, inputs="sgram", head="softmax", lr=1e-3)
    add(ledger, 1, 0.6, inputs="sgram", head="arcface")
    add(ledger, 2, 0.9, inputs="spectrum")
    add(ledger, 3, 0.9, inputs="sgram", state=False)
    states = StatesOfRun(ledger)
    chosen = states.choose(LOG_MEL, "fan", "inputs")
    assert chosen is not None
    assert chosen.record.number == 1
    assert "not the paper's setting (LogMel-MFN), but the newest trial with a state" in chosen.caption
    assert states.choose(TGRAM, "fan", "inputs") is None
    newest = states.newest("stgram", "fan")
    assert newest is not None
    assert newest.record.number == 2
    assert states.machines(["stgram"]) == ["fan"]
    assert states.machines(["aegan_ad"]) == []


def test_a_trial_that_learned_from_the_development_clips_alone_is_at_the_paper_s_setting(ledger: Ledger) -> None:
    add(ledger, 0, 0.6, inputs="sgram", head="softmax", train_ids="00,01")
    chosen = StatesOfRun(ledger).choose(LOG_MEL, "fan")
    assert chosen is not None
    assert chosen.relation.startswith("the paper's setting (LogMel-MFN)")


def test_machines_are_the_paper_s_where_there_are_any() -> None:
    figure = find_figure("kim2021", "4")
    every = ["ToyCar", "fan", "pump", "valve"]
    assert machines_to_draw(figure, (), every, ["fan", "ToyCar"]) == (("fan",), ("pump", "slider", "valve"))
    assert machines_to_draw(figure, (), ["gearbox", "ToyCar"], ["gearbox", "ToyCar"]) == (
        ("gearbox", "ToyCar"),
        figure.machines,
    )
    assert machines_to_draw(figure, ["ToyCar"], every, ["fan"]) == (("ToyCar",), ())
    assert machines_to_draw(find_figure("kim2021", "1"), (), every, None) == (("fan", "pump"), ())
