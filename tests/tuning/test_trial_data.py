"""Scores of the clips of several machines: split by machine, and judged on the test clips of each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asd_ray.ledger import Settings
from asd_ray.tuning.data import DataSource, TrialData

BOTH = ("fan", "pump")


@pytest.fixture
def data(two_machines: DataSource) -> TrialData:
    return two_machines.trial(BOTH, Settings(fingerprint="f", year=2022))


def test_scores_of_all_clips_are_split_by_machine(data: TrialData) -> None:
    fan, pump = data.split_all({"row": data.everything.rows.astype(float)})
    for part, scores in zip(data.parts, (fan, pump), strict=True):
        assert scores["row"].tolist() == part.everything.rows.tolist()


def test_the_verdict_on_all_clips_is_that_on_the_test_clips(data: TrialData) -> None:
    of_row = dict(enumerate(np.random.default_rng(0).normal(size=len(data.everything.bank))))
    of_all, of_test = (np.array([of_row[row] for row in clips.rows]) for clips in (data.everything, data.test))
    verdicts = data.judge_all({"noise": of_all})
    assert len(verdicts) == 2
    assert verdicts == data.judge_test({"noise": of_test})
    assert verdicts != data.judge_test({"noise": -of_test})


def test_a_machine_without_clips_to_train_on_is_judged_too(data: TrialData) -> None:
    """Its scores of all clips are as many as those of its test clips."""
    part = data.parts[0]
    nothing = part.train.take(np.zeros(len(part.train), bool))
    bare = TrialData([dataclasses.replace(part, train=nothing, held_out=nothing)])
    scores = {"row": bare.test.rows.astype(float)}
    assert bare.judge_all(scores) == bare.judge_test(scores)
