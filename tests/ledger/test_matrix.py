from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, candidate_matrix, compact


def expected(trials, split: str = "test") -> pd.DataFrame:
    """The same matrix made slowly: one row a (trial, variant), one column a clip."""
    long = pd.concat([scores.assign(trial=record.trial) for record, scores in trials])
    long = long[long["split"] == split]
    return long.pivot(index=["trial", "variant"], columns="clip", values="score")


@pytest.mark.parametrize("compacted", [False, True, "partly"])
@pytest.mark.parametrize("split", ["test", "train"])
def test_matrix_equals_a_pivot_of_the_long_tables(ledger: Ledger, trial, split: str, compacted: object) -> None:
    trials = [trial(number, variants=("mse",) if number % 2 else ("mse", "mahala")) for number in range(6)]
    for number, each in enumerate(trials):
        ledger.commit(*each)
        if compacted == "partly" and number == 3:
            compact(ledger)
    if compacted is True:
        compact(ledger)
    made = candidate_matrix(ledger, "fan", split)
    slow = expected(trials, split)
    assert made.scores.shape == slow.shape == (9, 8 if split == "test" else 4)
    assert made.scores.dtype == np.float32
    assert made.scores.flags.c_contiguous
    assert made.clips["clip"].tolist() == slow.columns.tolist()
    assert made.candidates["name"].is_monotonic_increasing
    for row, candidate in enumerate(made.candidates.itertuples()):
        np.testing.assert_array_equal(made.scores[row], slow.loc[(candidate.trial, candidate.variant)])


def test_facts_of_the_clips_and_candidates_come_along(filled: Ledger, clips) -> None:
    made = candidate_matrix(filled, "fan")
    pd.testing.assert_frame_equal(
        made.clips, clips()[["clip", "id", "domain", "label"]].sort_values("clip", ignore_index=True), check_dtype=False
    )
    assert set(made.candidates["status"]) == {"complete"}
    assert made.candidates["is_best"].tolist() == [False, True] * 5
    assert made.candidates["objective"].tolist() == pytest.approx([0.5 + n / 1000 for n in range(5) for _ in "ab"])


def test_candidates_are_chosen_by_family_status_and_best_variant(ledger: Ledger, trial) -> None:
    ledger.commit(*trial(0))
    ledger.commit(*trial(1, status="pruned"))
    ledger.commit(*trial(0, family="idnn", variant=""))
    assert len(candidate_matrix(ledger, "fan").scores) == 4
    assert len(candidate_matrix(ledger, "fan", statuses=("complete", "pruned")).scores) == 6
    assert candidate_matrix(ledger, "fan", families=["ae"], best_variants=True).candidates["variant"].tolist() == [
        "mse"
    ]
    assert len(candidate_matrix(ledger, "fan", families=["idnn"], best_variants=True).scores) == 2


def without(scores: pd.DataFrame, row: int) -> pd.DataFrame:
    clip = scores[scores["split"] == "test"]["clip"].iloc[row]
    return scores[scores["clip"] != clip]


def test_a_candidate_that_lacks_a_clip_is_named(ledger: Ledger, trial) -> None:
    for number in range(3):
        ledger.commit(*trial(number))
    record, scores = trial(3)
    ledger.commit(record, without(scores, 2))
    with pytest.raises(AsdRayError, match="2 of 8 candidates lack clips") as refused:
        candidate_matrix(ledger, "fan")
    assert f"{record.name} ({record.trial}) variant 'mahala'" in str(refused.value)
    assert "lacks 1 of 8, first 'normal_id_00_00000002.wav'" in str(refused.value)
    dropped = candidate_matrix(ledger, "fan", missing="drop")
    assert dropped.scores.shape == (6, 8)
    assert record.name not in set(dropped.candidates["name"])
    with_nan = candidate_matrix(ledger, "fan", missing="nan")
    assert with_nan.scores.shape == (8, 8)
    missing = np.argwhere(np.isnan(with_nan.scores))
    assert {with_nan.candidates["name"][row] for row, _ in missing} == {record.name}
    assert {with_nan.clips["clip"][column] for _, column in missing} == {"normal_id_00_00000002.wav"}


def test_dropping_keeps_the_clips_that_most_candidates_share(ledger: Ledger, trial) -> None:
    for number in range(3):
        ledger.commit(*trial(number))
    ledger.commit(*trial(3, count=10))  # two clips more than the others
    made = candidate_matrix(ledger, "fan", missing="drop")
    assert made.scores.shape == (8, 8)
    with pytest.raises(AsdRayError, match="6 of 8 candidates lack clips"):
        candidate_matrix(ledger, "fan")


def test_trials_of_different_datasets_are_called_so(ledger: Ledger, trial) -> None:
    ledger.commit(*trial(0, data_fingerprint="a"))
    ledger.commit(*trial(1, count=10, data_fingerprint="b"))
    with pytest.raises(AsdRayError, match="different datasets: use one dataset per run"):
        candidate_matrix(ledger, "fan")


def test_what_one_candidate_does_not_know_another_tells(ledger: Ledger, trial) -> None:
    record, scores = trial(0)
    ledger.commit(record, scores)
    record, scores = trial(1, source="import")
    ledger.commit(record, scores.assign(label="unknown", domain=""))
    made = candidate_matrix(ledger, "fan")
    assert made.scores.shape == (4, 8)
    assert set(made.clips["label"]) == {"normal", "anomaly"}
    assert set(made.clips["domain"]) == {"source", "target"}


@pytest.mark.parametrize(("fact", "value"), [("label", "normal"), ("id", "09"), ("domain", "target")])
def test_candidates_that_contradict_each_other_are_named(ledger: Ledger, trial, fact: str, value: str) -> None:
    ledger.commit(*trial(0))
    record, scores = trial(1)
    ledger.commit(record, scores.assign(**{fact: value}))
    with pytest.raises(AsdRayError, match=f"has {fact} .*fan-ae-0000 .* but .*fan-ae-0001"):
        candidate_matrix(ledger, "fan")


def test_files_with_broken_rows_are_left_out_and_named(filled: Ledger, trial, caplog: pytest.LogCaptureFixture) -> None:
    paths = [Path(filled.layout.trial_file("fan", "ae", trial(number)[0].trial)) for number in (0, 3)]
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[:4] + b"\xff" * (len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with caplog.at_level(logging.WARNING, logger="asd_ray.ledger"):
        made = candidate_matrix(Ledger(filled.layout), "fan")
    assert sorted(set(made.candidates["name"])) == ["fan-ae-0001", "fan-ae-0002", "fan-ae-0004"]
    assert all(any(str(path) in message for message in caplog.messages) for path in paths)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"machine": "pan"}, "did you mean 'fan'"),
        ({"split": "tset"}, "did you mean 'test'"),
        ({"missing": "ignore"}, "unknown way with missing clips"),
        ({"families": ["stgram"]}, "no trial of fan is of stgram; it has ae"),
        ({"split": "held_out"}, "split 'held_out' .*they have test, train"),
        ({"statuses": ["pruned"]}, "none that is pruned"),
    ],
)
def test_a_matrix_of_nothing_says_why(filled: Ledger, choice: dict[str, object], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        candidate_matrix(filled, **({"machine": "fan"} | choice))


def test_a_compaction_between_listing_and_reading_is_followed(filled: Ledger) -> None:
    reader = Ledger(filled.layout)
    whole = candidate_matrix(filled, "fan")
    opened = reader.files.open
    reader.records()

    def compact_then_open(path: str):
        reader.files.open = opened
        compact(filled)
        return opened(path)

    reader.files.open = compact_then_open
    np.testing.assert_array_equal(candidate_matrix(reader, "fan").scores, whole.scores)
