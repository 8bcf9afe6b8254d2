from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling.candidates import load, year_of
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, Settings, TrialRecord, long_scores, trial_hash
from tests.ensembling.conftest import make_ledger

Make = Callable[..., Ledger]


def test_every_candidate_is_there_over_the_same_clips(ledger_of: Make) -> None:
    found = load(ledger_of(), "fan")
    assert len(found) == 6  # three trials of two variants
    assert found.scores.shape == (6, 48)
    assert found.normal_scores.shape == (6, 24)
    assert set(found.normal["label"]) == {"normal"}
    assert found.table["paper"].tolist() == [True, True, True, True, False, False]
    assert found.table["params"].tolist() == [{"lr": 0.3}] * 2 + [{"lr": 0.1}] * 2 + [{"lr": 0.2}] * 2
    assert (found.dataset, found.fingerprint, found.year, found.by) == ("demo", "f0f0f0f0f0f0", 2022, "held_out")
    assert found.left_out == ()
    assert found.labelled
    assert found.label(1) == "fan-group_made-0000 nll"


def test_scores_belong_to_their_clips(ledger_of: Make) -> None:
    def place(family: str, number: int, variant: str, scores: np.ndarray) -> np.ndarray:
        return np.arange(len(scores), dtype=np.float32) * (1 if variant == "mse" else -1)

    ledger = ledger_of({"idnn": [{}]}, change=place)
    found = load(ledger, "fan", "train")
    long = ledger.scores(ledger.records()[0])
    for clips, scores, split in ((found.clips, found.scores, "test"), (found.normal, found.normal_scores, "train")):
        rows = long[(long["split"] == split) & (long["variant"] == "nll")].set_index("clip")["score"]
        np.testing.assert_array_equal(scores[1], rows[clips["clip"]].to_numpy())


def test_by_train_by_held_out_and_by_test(ledger_of: Make) -> None:
    ledger = ledger_of()
    for by in ("train", "held_out"):
        assert load(ledger, "fan", by).normal["clip"].str.startswith(by).all()
    transductive = load(ledger, "fan", "test")
    assert transductive.normal is transductive.clips
    np.testing.assert_array_equal(transductive.normal_scores, transductive.scores)


def test_taking_candidates_takes_all_of_theirs(ledger_of: Make) -> None:
    found = load(ledger_of(), "fan")
    taken = found.take([4, 1])
    assert taken.label(0) == found.label(4)
    np.testing.assert_array_equal(taken.scores, found.scores[[4, 1]])
    np.testing.assert_array_equal(taken.normal_scores, found.normal_scores[[4, 1]])
    assert taken.digest != found.digest
    assert taken.digest == found.take(np.array([4, 1])).digest != found.take([1, 4]).digest


def test_a_candidate_without_normal_scores_is_left_out_and_named(ledger_of: Make) -> None:
    ledger_of({"flow_aff": [{}]}, splits=("train", "test"))
    found = load(ledger_of({"idnn": [{}]}), "fan")
    assert set(found.table["family"]) == {"idnn"}
    assert tuple(map(str, found.left_out)) == (
        "fan-flow_aff-0000 mse (no held_out scores)",
        "fan-flow_aff-0000 nll (no held_out scores)",
    )
    assert load(ledger_of({"idnn": [{}]}), "fan", "train").left_out == ()


def test_a_candidate_of_other_normal_clips_is_left_out_and_named(ledger_of: Make) -> None:
    """A search with another --held-out: its detectors learned from other clips than most."""
    own = pd.DataFrame({"clip": ["other.wav"] * 1, "id": "00", "domain": "source", "split": "held_out"})
    ledger = ledger_of({"idnn": [{}, {}]})
    [record, _] = ledger.records()
    rows = ledger.scores(record)
    kept = rows[~((rows["split"] == "held_out") & (rows["id"] == "02"))]
    extra = own.assign(label="normal", variant="mse", score=np.float32(0.5))
    other = TrialRecord(
        **{**record.to_dict(), "trial": trial_hash(of="another"), "name": "fan-idnn-0009", "intermediate": {}}
    )
    ledger.commit(other, pd.concat([kept[kept["variant"] == "mse"], extra], ignore_index=True))
    found = load(ledger, "fan")
    assert len(found) == 4
    assert tuple(map(str, found.left_out)) == ("fan-idnn-0009 mse (held_out scores of other clips)",)


@pytest.mark.parametrize(
    ("by", "cure"),
    [("held_out", "--by train, or search with --held-out 0.1"), ("train", "--by held_out")],
)
def test_without_any_normal_scores_the_cure_is_told(ledger_of: Make, by: str, cure: str) -> None:
    ledger = ledger_of(splits=("test",))
    with pytest.raises(AsdRayError) as raised:
        load(ledger, "fan", by)
    assert str(raised.value) == (
        f"fan: no candidate has scores of {by} clips, whose statistics standardise; use {cure}, "
        "or --by test for imported systems (transductive: every output says so)"
    )
    assert len(load(ledger, "fan", "test")) == 6


@pytest.mark.parametrize(
    ("column", "gone", "message"),
    [
        ("clip", "test_00_source_normal_0003.wav", "lacks 1 of 48, first 'test_00_source_normal_0003.wav'"),
        ("id", "02", "lacks 24 of 48, first 'test_02_source_anomaly_0000.wav'"),
    ],
)
def test_a_clip_or_an_id_that_is_missing_names_candidate_and_clip(
    ledger_of: Make, column: str, gone: str, message: str
) -> None:
    ledger = ledger_of({"idnn": [{}, {}]})
    record = ledger.records()[1]
    rows = ledger.scores(record)
    ledger.commit(record, rows[(rows["split"] != "test") | (rows[column] != gone)], replace=True)
    with pytest.raises(AsdRayError) as raised:
        load(ledger, "fan")
    assert f"first fan-idnn-0001 ({record.trial}) variant 'mse', which {message}" in str(raised.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(np.nan, "1 values of score are missing"), (np.inf, "variant 'mse', clip 'test_00_source_normal_0001.wav': inf")],
)
def test_a_score_that_is_no_number_never_enters_the_ledger(
    ledger_of: Make, clips: Callable[..., pd.DataFrame], bad: float, message: str
) -> None:
    values = np.zeros(len(clips(2)))
    values[1] = bad
    record = TrialRecord(trial="t1", name="fan-mine-0000", machine="fan", family="mine")
    with pytest.raises(AsdRayError) as raised:
        ledger_of({}).commit(record, long_scores(clips(2), {"mse": values}))
    assert "fan-mine-0000" in str(raised.value)
    assert message in str(raised.value)


def test_two_datasets_in_one_run_are_refused(ledger_of: Make) -> None:
    ledger_of({"idnn": [{}]}, dataset="dcase2020", data_fingerprint="aaaaaaaaaaaa")
    ledger = ledger_of({"idnn": [{}, {}]}, dataset="dcase2022", data_fingerprint="bbbbbbbbbbbb")
    with pytest.raises(AsdRayError) as raised:
        load(ledger, "fan")
    assert str(raised.value) == (
        f"fan: the trials of {ledger.layout.root} are of 2 datasets, dcase2020 (aaaaaaaa) and dcase2022 (bbbbbbbb); "
        "their clips differ, so keep one dataset per run"
    )


def test_other_peoples_scores_beside_ones_own_do_not_hide_which_clips_they_are_of(ledger_of: Make) -> None:
    """Imported systems carry no fingerprint; the run's is its own search's, whichever candidates are asked for."""
    ledger_of({"a_system": [{}]}, source="import", dataset="table", data_fingerprint="")
    ledger = ledger_of({"idnn": [{}]})
    [imported] = ledger.records(family="a_system")
    for only in (None, {imported.trial: ["mse"]}):
        found = load(ledger, "fan", only=only)
        assert (found.dataset, found.fingerprint) == ("demo", "f0f0f0f0f0f0")


def test_asking_for_some_candidates_gives_those_or_says_which_is_missing(ledger_of: Make) -> None:
    ledger = ledger_of()
    trial = ledger.records()[0].trial
    found = load(ledger, "fan", only={trial: ["nll"]})
    assert found.table[["trial", "variant"]].to_numpy().tolist() == [[trial, "nll"]]
    with pytest.raises(AsdRayError, match=f"no complete scores of {trial} variant 'new' and 1 more; they were removed"):
        load(ledger, "fan", only={trial: ["nll", "new"], "tgone": ["x"]})


def test_a_machine_without_a_complete_trial_says_how_to_get_one(ledger_of: Make) -> None:
    ledger = ledger_of()
    failed = TrialRecord(trial="t1", name="pump-idnn-0000", machine="pump", family="idnn", status="failed")
    ledger.commit(failed)
    for machine in ("pump", "valve"):
        with pytest.raises(AsdRayError, match=f"{machine}: .* holds no complete trial of it; search with --run"):
            load(ledger, machine)


def test_a_pruned_trial_is_no_candidate(ledger_of: Make) -> None:
    ledger_of({"idnn": [{}]}, status="pruned", trial="tpruned")
    assert "tpruned" not in set(load(ledger_of(), "fan").table["trial"])


def record(**given: object) -> TrialRecord:
    return TrialRecord(trial="t1", name="x", machine="fan", family="idnn", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("records", "year"),
    [
        ([record(settings=Settings(year=2021), dataset="dcase2020")], 2021),
        ([record(settings=Settings(), dataset="mimii")], None),
        ([record(dataset="dcase2020")], 2020),
        ([record(dataset="dcase2020"), record(dataset="dcase2021")], None),
        ([record(dataset="dcase"), record(dataset="")], None),
        ([record(dataset="dcase2020"), record(settings=Settings(year=2023))], 2023),
    ],
)
def test_the_year_is_the_searchs_or_that_of_a_submission(records: list[TrialRecord], year: int | None) -> None:
    assert year_of(records) == year


def test_what_was_chosen_from_is_the_same_after_newer_trials_with_other_held_out_clips(
    ledger_of: Callable[..., Ledger],
) -> None:
    """More of them than of the older ones, so that what most candidates share is less than before."""
    ledger = ledger_of({"idnn": [{}]})
    before = load(ledger, "fan")
    only = {trial: ["mse", "nll"] for trial in before.table["trial"]}
    for number in (3, 4, 5):
        record = ledger.records("fan")[0]
        clips = before.normal.iloc[2:].assign(split="held_out")
        test = before.clips.assign(split="test")
        both = pd.concat([test, clips], ignore_index=True)
        other = replace(record, trial=trial_hash(other=number), name=f"fan-idnn-{number:04d}", number=number)
        ledger.commit(other, long_scores(both, {"mse": np.arange(len(both), dtype=float)}))
    assert len(load(ledger, "fan").normal) < len(before.normal)
    again = load(ledger, "fan", only=only)
    np.testing.assert_array_equal(again.normal_scores, before.normal_scores)
    assert again.normal["clip"].tolist() == before.normal["clip"].tolist()


def test_one_without_all_test_clips_stops_or_is_left_out_and_named(ledger_of: Callable[..., Ledger]) -> None:
    ledger = ledger_of({"idnn": [{}, {}]})
    whole = load(ledger, "fan")
    record = replace(ledger.records("fan")[0], trial=trial_hash(part=1), name="fan-idnn-0009", number=9)
    part = pd.concat([whole.clips.iloc[:-1].assign(split="test"), whole.normal.assign(split="held_out")])
    ledger.commit(record, long_scores(part, {"mse": np.arange(len(part), dtype=float)}))
    with pytest.raises(AsdRayError, match="fan-idnn-0009"):
        load(ledger, "fan")
    left = load(ledger, "fan", drop=True)
    assert len(left) == len(whole)
    assert tuple(map(str, left.left_out)) == ("fan-idnn-0009 (test scores of other clips)",)


@pytest.mark.parametrize(("kept", "judged"), [(0.7, 3), (0.2, 2)])
def test_trials_with_faults_of_another_plan_are_compared_by_the_faults_of_both(
    tmp_path: Path, kept: float, judged: int
) -> None:
    """If both have too few in common, the trials of the plan that fewer have count as without scores of faults."""
    ledger = make_ledger(tmp_path / "run", {"idnn": [{"lr": 0.1}, {"lr": 0.2}]}, splits=("held_out", "test", "fault"))
    record = ledger.records()[0]
    scores = ledger.scores(record).astype({"clip": str})
    faults = scores.index[scores["split"] == "fault"]
    names = scores.loc[faults, "clip"].drop_duplicates().tolist()
    renamed = {name: name.replace("~", "~of_another_plan_") for name in names[round(kept * len(names)) :]}
    scores["clip"] = scores["clip"].replace(renamed)
    ledger.commit(replace(record, trial=trial_hash(number="another"), name="fan-idnn-0002", number=2), scores)
    candidates = load(ledger, "fan")
    assert candidates.faults is not None
    assert len(candidates.faults.clips) == len(names) - (judged == 3) * len(renamed)
    known = np.isfinite(candidates.faults.scores).all(axis=1)
    assert candidates.table["trial"][known].nunique() == judged
