from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, candidate_matrix, compact
from asd_ray.ledger.schema import STORED
from asd_ray.ledger.trial_file import SCHEMA_KEY, TRIALS_KEY


def path_of(ledger: Ledger, record: TrialRecord) -> Path:
    return Path(ledger.layout.trial_file(record.machine, record.family, record.trial))


def rewrite_metadata(path: Path, changes: dict[bytes, bytes]) -> None:
    table = pq.read_table(path, partitioning=None)
    metadata = {**pq.read_metadata(path).metadata, **changes}
    pq.write_table(table.replace_schema_metadata(metadata), path)


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "only the first half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(b"garbage " * 500),
    "garbage with Parquet's magic": lambda path: path.write_bytes(b"PAR1" + b"\0" * 600 + b"\x20\0\0\0PAR1"),
    "a footer longer than the file": lambda path: path.write_bytes(b"PAR1" + b"\0" * 20 + b"\xff\xff\xff\x7fPAR1"),
    "foreign Parquet": lambda path: pq.write_table(pa.table({"a": [1, 2]}), path),
    "no schema version": lambda path: rewrite_metadata(path, {SCHEMA_KEY: b"one"}),
    "a record that is no JSON": lambda path: rewrite_metadata(path, {TRIALS_KEY: b"{"}),
    "a record without its fields": lambda path: rewrite_metadata(path, {TRIALS_KEY: b'[{"record": {}, "splits": {}}]'}),
    "no trial": lambda path: rewrite_metadata(path, {TRIALS_KEY: b"[]"}),
    "another's rows": lambda path: pq.write_table(
        pq.read_table(path, partitioning=None).slice(0, 3).replace_schema_metadata(pq.read_metadata(path).metadata),
        path,
    ),
    "the file of another trial": lambda path: path.write_bytes(
        next(other for other in sorted(path.parent.iterdir()) if other != path).read_bytes()
    ),
}


def test_a_trial_comes_back_as_it_was_committed(ledger: Ledger, trial) -> None:
    record, scores = trial()
    assert ledger.commit(record, scores)
    assert ledger.records() == [record]
    back = ledger.scores(record)
    assert back.dtypes["score"] == "float32"
    columns = list(back.columns)
    pd.testing.assert_frame_equal(
        back.sort_values(columns, ignore_index=True),
        scores.sort_values(columns, ignore_index=True),
        check_dtype=False,
    )
    assert set(ledger.scores(record, ["train"])["split"]) == {"train"}


def test_a_failed_trial_is_a_file_too(ledger: Ledger, record) -> None:
    failed = record(status="failed", objective=None, variant="", error="CUDA out of memory")
    ledger.commit(failed)
    assert ledger.records() == [failed]
    assert ledger.has("fan", "ae", failed.trial)
    assert ledger.scores(failed).empty


def test_ledgers_are_read_by_machine_and_family(ledger: Ledger, trial) -> None:
    for machine in ("fan", "pump", "00120119"):
        for family in ("ae", "idnn"):
            ledger.commit(*trial(machine=machine, family=family))
    assert len(ledger.records()) == 6
    assert [(r.machine, r.family) for r in ledger.records("pump")] == [("pump", "ae"), ("pump", "idnn")]
    assert [r.machine for r in ledger.records(family="idnn")] == ["00120119", "fan", "pump"]
    assert [r.name for r in ledger.records("00120119", "ae")] == ["00120119-ae-0000"]
    assert ledger.records("valve") == []


def test_records_come_in_the_order_of_their_numbers(ledger: Ledger, trial) -> None:
    for number in (10, 2, 0):
        ledger.commit(*trial(number))
    assert [record.number for record in ledger.records()] == [0, 2, 10]


def test_names_made_of_digits_stay_text_for_every_reader(ledger: Ledger, trial) -> None:
    record, scores = trial(trial="t00120119")
    ledger.commit(record, scores)
    whole = pd.read_parquet(ledger.layout.ledger)  # what a user does without asd_ray
    assert whole["trial"].astype("str").unique().tolist() == ["t00120119"]
    assert sorted(whole["id"].astype("str").unique()) == ["00", "01"]
    assert len(whole) == len(scores)


def test_a_complete_trial_is_not_changed_by_a_second_writer(ledger: Ledger, trial) -> None:
    record, scores = trial()
    ledger.commit(record, scores)
    other = scores.assign(score=0.0)
    assert not ledger.commit(record, other)
    assert not ledger.scores(record)["score"].eq(0).any()
    assert ledger.commit(record, other, replace=True)
    assert ledger.scores(record)["score"].eq(0).all()


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        ("failed", "complete", "complete"),
        ("failed", "failed", "failed"),
        ("pruned", "complete", "complete"),
        ("complete", "failed", "complete"),
        ("complete", "pruned", "complete"),
        ("pruned", "failed", "pruned"),
    ],
)
def test_a_better_outcome_is_never_replaced_by_a_worse_one(
    ledger: Ledger, trial, before: str, after: str, stays: str
) -> None:
    for status in (before, after):
        record, scores = trial(status=status, error=f"as {status}")
        ledger.commit(record, None if status == "failed" else scores)
    assert [(r.status, r.error) for r in ledger.records()] == [(stays, f"as {stays}")]


@pytest.mark.parametrize("status", ["failed", "pruned"])
def test_a_worse_outcome_overwrites_nothing_even_if_it_looked_before_the_better_one_came(
    ledger: Ledger, trial, status: str
) -> None:
    late, other = Ledger(ledger.layout), trial(status=status)
    put = late.files.put

    def commit_then_put(path: str, data: object) -> None:
        ledger.commit(*trial())
        put(path, data)

    late.files.put = commit_then_put
    late.commit(other[0], None if status == "failed" else other[1])
    [found] = Ledger(ledger.layout).records()
    assert found.status == "complete"
    assert len(ledger.scores(found)) == len(trial()[1])
    assert ledger.has("fan", "ae", found.trial)


def test_a_pruned_trial_is_found_and_read_from_its_own_file(ledger: Ledger, run: Path, trial) -> None:
    record, scores = trial(status="pruned")
    ledger.commit(record, scores)
    assert [path.name for path in run.rglob("*.parquet")] == [f"{record.trial}.pruned.parquet"]
    assert ledger.has("fan", "ae", record.trial)
    assert len(ledger.scores(record)) == len(scores)


def damage_score(path: Path) -> None:
    """Flip bits inside the scores of the first row group; every byte of it is still some float."""
    column = pq.read_metadata(path).row_group(0).column(STORED.index("score"))
    whole = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size - 12
    for at in range(middle, middle + 4):
        whole[at] ^= 0x01
    path.write_bytes(bytes(whole))


def test_a_damaged_score_is_never_read(filled: Ledger, trial, caplog: pytest.LogCaptureFixture) -> None:
    record, _ = trial(2)
    damage_score(path_of(filled, record))
    ledger = Ledger(filled.layout)
    assert candidate_matrix(ledger, "fan", "train").candidates["number"].unique().tolist() == [0, 1, 3, 4]
    with pytest.raises(AsdRayError, match="has no fan-ae-0002"):
        Ledger(filled.layout).scores(record)


def test_wrong_commits_are_refused_and_leave_nothing(ledger: Ledger, run: Path, trial) -> None:
    record, scores = trial()
    wrong = [
        (record, None, "complete but has no scores"),
        (trial(status="failed")[0], scores, "failed but has scores"),
        (trial(variant="mxe")[0], scores, "names 'mxe' as its best variant"),
        (record, scores.assign(label="ok"), "fan-ae-0000 .*label 'ok'"),
    ]
    for bad_record, bad_scores, message in wrong:
        with pytest.raises(AsdRayError, match="(?s)" + message):
            ledger.commit(bad_record, bad_scores)
    assert not list(run.rglob("*"))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_and_never_stops_the_rest(
    filled: Ledger, trial, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    record, scores = trial(2)
    path = path_of(filled, record)
    BROKEN[kind](path)
    ledger = Ledger(filled.layout)
    with caplog.at_level(logging.WARNING, logger="asd_ray.ledger"):
        assert [r.number for r in ledger.records()] == [0, 1, 3, 4, 5]
        assert not ledger.has("fan", "ae", record.trial)
        ledger.records()
    named = [message for message in caplog.messages if str(path) in message]
    assert len(named) == 1, "a broken file is named once, not at every look"
    assert "ledger verify" in named[0]
    assert ledger.commit(record, scores), "a broken file does not count as stored"
    assert len(ledger.records()) == 6


def test_rows_that_are_broken_under_a_good_footer_are_named_when_asked_for(
    filled: Ledger, trial, caplog: pytest.LogCaptureFixture
) -> None:
    record, _ = trial(2)
    path = path_of(filled, record)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
    assert len(Ledger(filled.layout).records()) == 6, "records need footers only"
    ledger = Ledger(filled.layout)
    with pytest.raises(AsdRayError, match="has no fan-ae-0002"):
        ledger.scores(record)
    assert any(str(path) in message for message in caplog.messages)
    assert len(ledger.records()) == 5


def test_a_file_of_a_newer_version_says_upgrade(filled: Ledger, trial, caplog: pytest.LogCaptureFixture) -> None:
    record, scores = trial(2)
    rewrite_metadata(path_of(filled, record), {SCHEMA_KEY: b"4"})
    ledger = Ledger(filled.layout)
    assert len(ledger.records()) == 5
    assert any("newer asd_ray (schema 4, this one reads 3); upgrade asd_ray" in each for each in caplog.messages)
    with pytest.raises(AsdRayError, match="upgrade asd_ray"):
        ledger.commit(record, scores)


@pytest.mark.parametrize(("split", "schema"), [("held_out", b"1"), ("unseen", b"2"), ("fault", b"2"), ("crop", b"3")])
def test_only_files_with_new_splits_need_a_new_version(filled: Ledger, trial, split: str, schema: bytes) -> None:
    record, scores = trial(50)
    scores = scores.drop_duplicates(["variant", "clip"]).assign(split=split)
    filled.commit(record, scores)
    assert pq.read_metadata(path_of(filled, record)).metadata[SCHEMA_KEY] == schema
    assert set(Ledger(filled.layout).scores(record)["split"]) == {split}


def test_temporary_files_are_no_part_of_the_ledger(filled: Ledger, trial) -> None:
    path = path_of(filled, trial(0)[0])
    (path.parent / f".{path.name}.123-abc.tmp").write_bytes(b"half")
    (path.parent / ".t0.parquet").write_bytes(b"half")
    assert len(Ledger(filled.layout).records()) == 6
    assert len(pd.read_parquet(filled.layout.ledger)) > 0


def test_a_file_that_vanishes_while_it_is_read_is_looked_for_again(filled: Ledger, trial) -> None:

    record, scores = trial(3)
    reader = Ledger(filled.layout)
    listed = reader.files.list

    def list_then_compact(folder: str, prefix: str = ""):
        found = listed(folder, prefix)
        reader.files.list = listed
        compact(filled)
        return found

    reader.files.list = list_then_compact
    assert len(reader.records()) == 6
    assert len(reader.scores(record)) == len(scores)


def test_a_ledger_pickles_to_a_worker(filled: Ledger) -> None:
    assert pickle.loads(pickle.dumps(filled)).records() == filled.records()


def test_asking_for_what_is_not_there_says_what_to_do(ledger: Ledger, record) -> None:
    with pytest.raises(AsdRayError, match="no run here .*start one with"):
        ledger.require()
    with pytest.raises(AsdRayError, match="has no fan-ae-0000"):
        ledger.scores(record())
    assert ledger.records() == []
    assert not ledger.has("fan", "ae", "t1")


def test_new_trials_cost_no_listing_however_many_there_are(ledger, trial, monkeypatch) -> None:
    for number in range(3):
        ledger.commit(*trial(number))
    compact(ledger)
    ledger.commit(*trial(3))
    listed = []
    real = type(ledger.files).list
    monkeypatch.setattr(type(ledger.files), "list", lambda self, *where: listed.append(where) or real(self, *where))
    for number in range(4, 7):
        ledger.commit(*trial(number))
    assert ledger.commit(*trial(1)) is False  # compacted, and known to be
    assert listed == []
    compact(Ledger(ledger.layout))  # by somebody else
    listed.clear()
    assert ledger.commit(*trial(5)) is False
    assert len(listed) == 1
