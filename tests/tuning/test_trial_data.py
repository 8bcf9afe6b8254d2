"""Scores of the clips of several machines: split by machine, and judged on the test clips of each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asd_ray.clips.bank import ClipSet
from asd_ray.ledger import Settings
from asd_ray.tuning.data import DataSource, TrialData
from asd_ray.tuning.faults import TrialFailed

BOTH = ("fan", "pump")


@pytest.fixture
def data(two_machines: DataSource) -> TrialData:
    return two_machines.trial(BOTH, Settings(fingerprint="f", year=2022))


def rows(clips: ClipSet) -> dict[str, np.ndarray]:
    """Scores by which a clip can be recognised."""
    return {"row": clips.rows.astype(float)}


def noise(clips: ClipSet) -> dict[str, np.ndarray]:
    of_row = np.random.default_rng(0).normal(size=len(clips.bank))
    return {"noise": of_row[clips.rows]}


def test_scores_of_all_clips_are_split_by_machine_and_split(data: TrialData) -> None:
    for part, scores in zip(data.parts, data.score(rows), strict=True):
        assert {*scores} == {"test", "held_out", "train"}, "no clip is set aside, and no fault is planned"
        for split, own in scores.items():
            assert own["row"].tolist() == part.clips[split].rows.tolist()


def test_the_tables_of_the_ledger_have_a_row_for_each_clip(data: TrialData) -> None:
    for part, table in zip(data.parts, data.tables(data.score(rows)), strict=True):
        assert table["clip"].tolist() == part.frame["clip"].tolist()
        assert table["split"].tolist() == part.frame["split"].tolist()
        assert table.loc[table["split"] == "train", "score"].tolist() == part.train.rows.tolist()


def test_the_verdict_on_all_clips_is_that_on_the_test_clips(data: TrialData) -> None:
    verdicts = data.judge(data.score(noise))
    assert len(verdicts) == 2
    assert verdicts == data.judge(data.score(noise, data.judged_splits))
    assert verdicts != data.judge(data.score(lambda clips: {"noise": -noise(clips)["noise"]}, ("test",)))


def test_a_machine_without_clips_to_train_on_is_judged_too(data: TrialData) -> None:
    """Its scores of all clips are as many as those of its test clips."""
    part = data.parts[0]
    nothing = part.train.take(np.zeros(len(part.train), bool))
    clips = {**part.clips, "train": nothing, "held_out": nothing}
    bare = TrialData([dataclasses.replace(part, clips=clips)])
    assert bare.judge(bare.score(noise)) == bare.judge(bare.score(noise, ("test",)))


def test_a_detector_that_gives_faults_other_variants_is_refused(two_machines: DataSource) -> None:
    faulty = dataclasses.replace(two_machines, faults={})
    faulty.plan_faults("fan", 0.3)
    data = faulty.trial(["fan"], Settings(fingerprint="f", year=2022, held_out=0.3))
    names = iter("ab")
    with pytest.raises(TrialFailed, match="other variants for other clips"):
        data.score(lambda clips: {next(names): np.zeros(len(clips))})


def test_faults_are_scored_and_stored_as_a_split_of_their_own(two_machines: DataSource) -> None:
    faulty = dataclasses.replace(two_machines, faults={})
    faulty.plan_faults("fan", 0.3)
    settings = Settings(fingerprint="f", year=2022, held_out=0.3, objective="normal-only")
    data = faulty.trial(["fan"], settings)
    assert data.judged_splits == ("held_out", "fault")
    [table] = data.tables(data.score(noise))
    faults = table[table["split"] == "fault"]
    assert len(faults) == len(faulty.faults["fan"]) > 100
    assert set(faults["clip"].str.split("~").str[0]) <= set(table.loc[table["split"] == "held_out", "clip"])
