"""Malformed datasets: each problem is reported, within bounds of time and memory, and what is usable is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips.bank import open_bank
from asd_ray.clips.check import check
from asd_ray.clips.scan import scan, searchable
from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError
from asd_ray.storage.caches import cache_root

from ..hostile import Verbs, bounded

Record = Callable[..., Path]


def plain(root: Path, record: Record, *names: str, clips: int = 2) -> Path:
    """Folders such as ``press/train/normal`` with so many `clips`, all different."""
    for n, name in enumerate(names):
        for i in range(clips):
            record(root / name / f"{n}_{i}.wav", seed=100 * n + i)
    return root


def whole(machine: str) -> list[str]:
    return [f"{machine}/train/normal", f"{machine}/test/normal", f"{machine}/test/abnormal"]


def messages(table: ClipTable, severity: str = "warning") -> str:
    return "\n".join(str(p) for p in table.problems if p.severity == severity)


# -- units -------------------------------------------------------------------------------------------------------

UNITS = [
    (["unit_1", "unit_01"], ["unit_01", "unit_1"]),
    (["unit_1", "id_1"], ["id_1", "unit_1"]),
    (["1", "01", "2"], ["01", "02", "1"]),
    (["Unit_1", "unit_1"], ["Unit_1", "unit_1"]),
    (["no-7", "section_07", "unit_8"], ["08", "no-7", "section_07"]),
    (["unit_1", "unit_2"], ["01", "02"]),  # as ever
]


@pytest.mark.parametrize(("folders", "ids"), UNITS)
def test_units_side_by_side_are_never_merged(
    tmp_path: Path, record: Record, folders: list[str], ids: list[str]
) -> None:
    table = scan(plain(tmp_path / "data", record, *(f"press/{name}/normal" for name in folders)))
    assert sorted(set(table.frame["id"])) == ids
    mixed = [name for name in folders if name in ids]
    assert ("kept as a unit of its own" in messages(table)) == bool(mixed)
    assert all(name in messages(table) for name in mixed)


SITES = [
    (["a/fan/unit_1/normal", "b/fan/unit_1/normal"], True),
    (["a/fan/unit_1/train/normal", "b/fan/unit_1/train/normal"], True),
    (["a/fan/unit_1/train/normal", "b/fan/unit_1/test/normal"], False),  # training in one place, test in another
    (["a/fan/unit_1/normal", "b/fan/unit_2/normal"], False),
    (["fan/normal", "fan/unit_00/normal"], True),
]


@pytest.mark.parametrize(("folders", "mixed"), SITES)
def test_a_unit_with_clips_of_two_sites_is_reported(
    tmp_path: Path, record: Record, folders: list[str], mixed: bool
) -> None:
    table = scan(plain(tmp_path / "data", record, *folders))
    assert ("is made of clips of 2 folders" in messages(table)) == mixed
    if mixed:
        assert folders[0].removesuffix("/normal").removesuffix("/train") in messages(table)


def test_two_sites_of_an_official_layout_are_reported(tmp_path: Path, record: Record) -> None:
    for n, site in enumerate(("a", "b")):
        record(tmp_path / f"data/{site}/fan/train/section_00_source_train_normal_000{n}_.wav", seed=n)
    assert "id 00 is made of clips of 2 folders: a/fan, b/fan" in messages(scan(tmp_path / "data"))


def test_development_and_evaluation_folders_are_not_a_mixture(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "data/dev_data/fan/train/section_00_source_train_normal_0000_.wav")
    record(tmp_path / "data/dev_data/fan/test/section_00_source_test_normal_0000_.wav")
    record(tmp_path / "data/eval_data/fan/train/section_03_source_train_normal_0000_.wav")
    record(tmp_path / "data/eval_data/fan/test/section_03_0000.wav")
    assert "made of clips" not in messages(scan(tmp_path / "data"))


# -- clips in the wrong place ------------------------------------------------------------------------------------

MISPLACED = [
    ("press/train/abnormal/a.wav", "press/train/normal/b.wav", "anomalous clips in a training folder"),
    (
        "fan/train/section_00_source_train_anomaly_0000_.wav",
        "fan/train/section_00_source_train_normal_0001_.wav",
        "anomalous clips in a training folder",
    ),
    (
        "fan/train/section_00_source_test_normal_0000_.wav",
        "fan/train/section_00_source_train_normal_0001_.wav",
        "the name says test, the folder is train/",
    ),
    (
        "fan/source_test/section_00_target_test_normal_0000.wav",
        "fan/source_test/section_00_source_test_normal_0001.wav",
        "the name says target, the folder is source_test/",
    ),
    (
        "fan/train/anomaly_id_00_00000000.wav",
        "fan/train/normal_id_00_00000000.wav",
        "anomalous clips in a training folder are not used",
    ),
]


@pytest.mark.parametrize(("wrong", "right", "reason"), MISPLACED)
def test_a_clip_in_the_wrong_folder_is_reported_with_the_right_reason(
    tmp_path: Path, record: Record, wrong: str, right: str, reason: str
) -> None:
    record(tmp_path / "data" / wrong)
    record(tmp_path / "data" / right, seed=1)
    text = messages(scan(tmp_path / "data"))
    assert f"{wrong}: " in text
    assert reason in text
    assert "not named as this layout" not in text
    assert "move" in text


def test_many_anomalies_in_training_are_one_line(tmp_path: Path, record: Record) -> None:
    table = scan(plain(tmp_path / "data", record, "press/train/abnormal", "press/train/normal", clips=9))
    lines = [line for line in messages(table).splitlines() if "anomalous clips" in line]
    assert len(lines) == 1
    assert "and 8 more" in lines[0]


# -- the same audio twice ----------------------------------------------------------------------------------------

TWICE = [
    ("press/train/normal/a.wav", "press/test/normal/z.wav", "in train and test"),
    ("press/train/normal/a.wav", "press/test/abnormal/z.wav", "in train and test"),
    ("press/test/normal/a.wav", "press/test/abnormal/z.wav", "labelled normal and anomalous"),
    ("press/train/normal/a.wav", "press/train/normal/z.wav", ""),
    ("press/train/normal/a.wav", "pump/test/normal/z.wav", ""),
]


@pytest.mark.parametrize(("first", "second", "reason"), TWICE)
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_repeated_audio_is_reported_by_its_content(
    tmp_path: Path, record: Record, first: str, second: str, reason: str, suffix: str
) -> None:
    root = plain(tmp_path / "data", record, *whole("press"), *whole("pump"))
    samples = np.random.default_rng(9).integers(-9_000, 9_000, 8_000, np.int16)
    soundfile.write(root / first, samples, 16_000)
    soundfile.write((root / second).with_suffix(f".{suffix}"), samples, 16_000)
    table = scan(root)
    checked = check(table).table
    assert ("the same audio is" in messages(checked)) == bool(reason)
    assert reason in messages(checked)
    assert [str(p) for p in open_bank(table).notes if "same audio" in p.rule] == [
        line for line in messages(checked).splitlines() if "same audio" in line
    ]


def test_silent_clips_are_reported_as_silent_not_as_repeated(tmp_path: Path, record: Record) -> None:
    root = plain(tmp_path / "data", record, *whole("press"))
    for place in whole("press"):
        soundfile.write(root / place / "s.wav", np.zeros(8_000), 16_000)
    text = messages(check(scan(root)).table)
    assert "silent" in text
    assert "same audio" not in text
    assert not [str(note) for note in open_bank(scan(root)).notes if "same audio" in note.rule]


# -- names of machines -------------------------------------------------------------------------------------------

NAMES = ["a b", "ünit", "fan#2", "press (old)", "m" * 129, "[", "a'b", "日本", "fan\nx"]


@pytest.mark.parametrize("name", NAMES)
def test_check_reports_a_machine_whose_name_no_ledger_can_hold(
    verbs: Verbs, tmp_path: Path, record: Record, name: str
) -> None:
    root = plain(tmp_path / "data", record, *whole("press"), *whole(name))
    answer = verbs("data", "check", root, "--json")
    assert answer.status == 0
    problem = next(p for p in json.loads(answer.out)["problems"] if p["path"] == name)
    assert problem["rule"].startswith("cannot be searched: the machine name")
    assert "1 to 128 of the characters" in problem["rule"]
    assert problem["cure"] == f"rename {name}"
    assert searchable(scan(root)) == ["press"]
    assert searchable(scan(root, machines=["press", name]), ["press", name]) == ["press"]
    with pytest.raises(AsdRayError, match="1 to 128 of the characters"):
        searchable(scan(root, machines=[name]), [name])


def test_a_root_that_is_the_machine_folder_is_to_be_renamed(tmp_path: Path, record: Record) -> None:
    root = plain(tmp_path / "my fan", record, "train/normal", "test/normal", "test/abnormal")
    assert "rename its folder" in messages(scan(root))


def test_a_machine_that_cannot_be_searched_does_not_stop_the_others(
    verbs: Verbs, tmp_path: Path, record: Record
) -> None:
    root, why = tmp_path / "data", "it has no normal training clips"
    plain(root, record, *whole("press"), "pump/test/normal", "pump/test/abnormal")
    table = scan(root, machines=["press", "pump"])
    assert searchable(table, ["press", "pump"]) == ["press"]
    assert searchable(table) == ["press"]
    run = tmp_path / "run"
    verbs.refused("search", "pump", "--data", root, "--run", run, "--serial", words=("pump", why, "searched"))
    assert not run.exists()


LACKS = [
    (["pump/train/normal"], "it has no test clips"),
    (["pump/train/normal", "pump/test/normal"], "no anomalous one"),
]


@pytest.mark.parametrize(("folders", "why"), LACKS)
def test_a_machine_without_labels_is_refused_where_labels_are_asked_for(
    verbs: Verbs, tmp_path: Path, record: Record, folders: list[str], why: str
) -> None:
    root, run = plain(tmp_path / "data", record, *whole("press"), *folders), tmp_path / "run"
    assert searchable(scan(root)) == ["press", "pump"]
    search = ("search", "pump", "--data", root, "--run", run, "--serial", "--families", "idnn")
    verbs.refused(*search, "--objective", "labels", words=("pump", why, "injected faults"))
    verbs.refused(*search, words=("normal clips of pump are held out", "more normal clips are needed"))
    assert not list(run.glob("ledger/**/*.parquet"))


# -- paths and options -------------------------------------------------------------------------------------------

ADDRESSES = [
    ("demo", "s3://b/x"),
    ("demo", "s3:/b/x"),
    ("demo", "gs://b/x"),
    ("check", ".", "--cache", "s3://b/x"),
    ("check", ".", "--table", "s3://b/x.csv"),
    ("check", ".", "--labels", "s3://b/x"),
    ("bank", ".", "--cache", "s3://b/x"),
    ("bank", ".", "--cache", "https://b/x"),
]


@pytest.mark.parametrize("argv", ADDRESSES)
def test_an_address_where_a_folder_is_meant_makes_no_folder(
    verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    verbs.refused("data", *argv, words=("://" if "s3:/b/x" not in argv else "s3:/", "this computer"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["s3://b/x", "s3:/b/x", "gs://b", "gs:/b"])
def test_a_cache_is_on_this_computer(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ASD_RAY_CACHE", value)
    with pytest.raises(AsdRayError, match=r"ASD_RAY_CACHE.* must be on a disk of this computer"):
        cache_root()


def test_an_empty_cache_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASD_RAY_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "asd_ray"


OPTIONS = [
    ("demo", "new", "--seconds", "nan"),
    ("demo", "new", "--seconds", "inf"),
    ("demo", "new", "--seconds", "1e300"),
    ("demo", "new", "--seed", "-1"),
    ("check", "data", "--channel", "-1"),
    ("check", "data", "--channel", "x"),
    ("check", "data", "--workers", "0"),
    ("check", "data", "--split-seed", "x"),
    ("check", "~nobody_of_that_name/x"),
    ("check", "x" * 300),
    ("check", "data\x01/\x02"),
    ("check", ""),
]


@pytest.mark.parametrize("argv", OPTIONS)
def test_an_option_out_of_range_is_refused(
    verbs: Verbs, tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    plain(tmp_path / "data", record, "normal")
    monkeypatch.chdir(tmp_path)
    with bounded(seconds=10):
        verbs.refused("data", *argv)


@pytest.mark.parametrize("workers", ["1000000000", "9" * 30])
def test_no_more_workers_than_clips_are_started(verbs: Verbs, tmp_path: Path, record: Record, workers: str) -> None:
    root = plain(tmp_path / "data", record, *whole("press"))
    with bounded(seconds=10):
        assert verbs("data", "check", root, "--workers", workers).status == 0
        assert verbs("data", "bank", root, "--workers", workers).status == 0


def test_a_folder_whose_path_is_no_text_is_refused(verbs: Verbs, tmp_path: Path, record: Record) -> None:
    root = plain(tmp_path / "data", record, "normal").rename(tmp_path / os.fsdecode(b"d\xff"))
    verbs.refused("data", "check", root, words=("not UTF-8",))


@pytest.mark.parametrize("moment", ["before check", "before bank"])
def test_a_clip_that_vanishes_is_named(tmp_path: Path, record: Record, moment: str) -> None:
    table = scan(plain(tmp_path / "data", record, *whole("press")))
    (tmp_path / "data/press/train/normal/0_0.wav").unlink()
    if moment == "before check":
        assert "0_0.wav: cannot be opened" in messages(check(table).table, "error")
    else:
        with pytest.raises(AsdRayError, match="0_0.wav: cannot be opened"):
            open_bank(table)
