from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from asd_ray.ledger import SCHEMA_VERSION, Ledger, compact, verify
from asd_ray.ledger.trial_file import SCHEMA_KEY, TRIALS_KEY

_spec = importlib.util.spec_from_file_location("broken_files", Path(__file__).with_name("test_store.py"))
assert _spec
assert _spec.loader
broken_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(broken_files)
BROKEN, path_of, rewrite_metadata = broken_files.BROKEN, broken_files.path_of, broken_files.rewrite_metadata


def test_a_sound_ledger_is_clean_and_counted(filled: Ledger) -> None:
    report = verify(filled)
    assert report.is_clean
    assert (report.files, dict(report.trials)) == (6, {"complete": 5, "failed": 1})
    assert report.rows == 5 * 2 * 12


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_set_aside_with_its_reason(filled: Ledger, trial, kind: str) -> None:
    record, scores = trial(2)
    path = path_of(filled, record)
    BROKEN[kind](path)
    broken = path.read_bytes()
    report = verify(Ledger(filled.layout))
    aside = Path(filled.layout.set_aside_file(str(path)))
    assert len(report.set_aside) == 1
    assert str(path) in report.set_aside[0]
    assert not path.exists()
    assert aside.read_bytes() == broken
    assert str(path) in aside.with_name(aside.name + ".reason.txt").read_text()
    again = Ledger(filled.layout)
    assert verify(again).is_clean
    assert again.commit(record, scores)
    assert len(again.records()) == 6


def test_a_second_broken_file_of_the_same_name_overwrites_nothing(filled: Ledger, trial) -> None:
    record, scores = trial(2)
    path = path_of(filled, record)
    for content in (b"first", b"second"):
        path.write_bytes(content)
        verify(Ledger(filled.layout))
    aside = Path(filled.layout.set_aside_file(str(path)))
    assert [aside.read_bytes(), aside.with_name(aside.name + ".1").read_bytes()] == [b"first", b"second"]


def test_a_damaged_score_is_set_aside(filled: Ledger, trial) -> None:
    path = path_of(filled, trial(2)[0])
    broken_files.damage_score(path)
    report = verify(filled)
    assert len(report.set_aside) == 1
    assert str(path) in report.set_aside[0]


def refuse(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_what_cannot_be_set_aside_or_removed_is_a_problem_and_verify_goes_on(
    filled: Ledger, trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path_of(filled, trial(number)[0]) for number in (1, 2)]
    for path in paths:
        path.write_bytes(b"half")
    old = paths[0].with_name(".t1.parquet.12-ab.tmp")
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        patched.setattr(os, "unlink", refuse)
        report = verify(Ledger(filled.layout))
    assert (report.files, report.leftovers, report.set_aside) == (6, 0, [])
    assert sum("broken, could not be set aside" in each for each in report.problems) == 2
    assert sum(f"{old}: cannot be removed" in each for each in report.problems) == 1
    assert len(verify(Ledger(filled.layout)).set_aside) == 2


def test_what_another_verify_has_set_aside_is_no_problem(
    filled: Ledger, trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    path_of(filled, trial(2)[0]).write_bytes(b"half")
    ledger = Ledger(filled.layout)
    move = ledger.files.move

    def verify_then_move(source: str, target: str) -> None:
        assert len(verify(Ledger(filled.layout)).set_aside) == 1
        move(source, target)

    monkeypatch.setattr(ledger.files, "move", verify_then_move)
    assert verify(ledger).is_clean


def test_a_retried_failure_is_counted_as_what_it_became(filled: Ledger, trial) -> None:
    filled.commit(*trial(5))
    report = verify(filled)
    assert (dict(report.trials), report.rows, report.duplicates) == ({"complete": 6}, 6 * 24, 1)


def change_rows(path: Path, change) -> None:
    """Rewrite a file with the same metadata and row groups but other rows."""
    file = pq.ParquetFile(path)
    tables = [file.read_row_group(group) for group in range(file.num_row_groups)]
    metadata = file.metadata.metadata
    with pq.ParquetWriter(path, tables[0].schema.remove_metadata()) as writer:
        for table in tables:
            frame = change(table.to_pandas())
            writer.write_table(type(table).from_pandas(frame, schema=writer.schema, preserve_index=False))
        writer.add_key_value_metadata({key: metadata[key] for key in (SCHEMA_KEY, TRIALS_KEY)})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows.assign(score=float("inf")), "not finite"),
        (lambda rows: rows.iloc[::-1], "not those of"),
        (lambda rows: rows.assign(clip=rows["clip"].astype("str") + "x"), "are not its record's"),
        (lambda rows: rows.assign(split="held_out"), "not those of"),
        (lambda rows: rows.assign(label="maybe"), "label 'maybe'"),
    ],
)
def test_rows_that_do_not_fit_their_record_are_found(filled: Ledger, trial, change, reason: str) -> None:
    path = path_of(filled, trial(2)[0])
    change_rows(path, change)
    report = verify(filled)
    assert len(report.set_aside) == 1
    assert reason in report.set_aside[0]


def test_a_newer_version_and_a_foreign_file_are_problems_but_stay(filled: Ledger, trial) -> None:
    path = path_of(filled, trial(2)[0])
    rewrite_metadata(path, {SCHEMA_KEY: str(SCHEMA_VERSION + 1).encode()})
    notes = path.with_name("notes.txt")
    notes.write_text("mine")
    report = verify(Ledger(filled.layout))
    assert report.set_aside == []
    assert [("upgrade asd_ray" in each, "notes.txt" in each) for each in report.problems] == [
        (True, False),
        (False, True),
    ]
    assert path.exists()
    assert notes.exists()


@pytest.mark.parametrize("place", ["machine=pump/family=ae", "machine=fan", "."])
def test_a_file_in_the_wrong_place_is_set_aside(filled: Ledger, trial, place: str) -> None:
    path = path_of(filled, trial(2)[0])
    wrong = Path(filled.layout.ledger, place, path.name)
    wrong.parent.mkdir(parents=True, exist_ok=True)
    wrong.write_bytes(path.read_bytes())
    assert len(Ledger(filled.layout).records()) == 6
    assert Ledger(filled.layout).records("pump") == []
    report = verify(Ledger(filled.layout))
    assert len(report.set_aside) == 1
    assert "belongs in" in report.set_aside[0]
    assert path.exists()


def test_temporary_files_are_removed_when_their_writer_must_be_dead(filled: Ledger, trial) -> None:
    folder = path_of(filled, trial(0)[0]).parent
    old, young = folder / ".t1.parquet.12-ab.tmp", folder / ".t2.parquet.13-cd.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    report = verify(filled)
    assert report.is_clean
    assert (report.leftovers, report.in_flight) == (1, 1)
    assert not old.exists()
    assert young.exists()


def test_whole_trials_are_rescued_from_a_broken_compact_file(filled: Ledger, trial) -> None:
    compact(filled)
    [path] = Path(filled.layout.ledger).rglob("compact-*.parquet")
    group = pq.read_metadata(path).row_group(2)  # a row group of the second trial
    start = group.column(0).dictionary_page_offset
    whole = path.read_bytes()
    path.write_bytes(whole[:start] + b"\xff" * 200 + whole[start + 200 :])
    report = verify(Ledger(filled.layout))
    assert len(report.set_aside) == 1
    assert len(report.rescued) == 4
    ledger = Ledger(filled.layout)
    assert verify(ledger).is_clean
    assert len(ledger.records()) == 5
    record, scores = trial(4)
    assert len(ledger.scores(record)) == len(scores)
