"""Datasets that nobody meant to make: each is told in words, within bounds, and what can be used is used."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips._store import Decoding
from asd_ray.clips.audio import UnreadableClip, read_header, read_samples
from asd_ray.clips.bank import open_bank
from asd_ray.clips.check import check
from asd_ray.clips.scan import scan, searchable
from asd_ray.clips.table import ClipTable
from asd_ray.errors import AsdRayError
from asd_ray.storage.caches import cache_root

from ..hostile import Verbs, bounded

Record = Callable[..., Path]


def plain(root: Path, record: Record, *names: str, each: int = 2) -> Path:
    """Folders such as ``press/train/normal`` with `each` clips, all different."""
    for n, name in enumerate(names):
        for i in range(each):
            record(root / name / f"{n}_{i}.wav", seed=100 * n + i)
    return root


def whole(machine: str) -> list[str]:
    return [f"{machine}/train/normal", f"{machine}/test/normal", f"{machine}/test/abnormal"]


def told(table: ClipTable, severity: str = "warning") -> str:
    return "\n".join(str(p) for p in table.problems if p.severity == severity)


# -- files that are no files -------------------------------------------------------------------------------------


def special(path: Path, kind: str) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            here = os.getcwd()
            os.chdir(path.parent)
            made.bind(path.name)
            os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("gone.wav")


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "attributes_00.csv", "eval_data_list.csv", "other.csv"])
@pytest.mark.parametrize("kind", ["FIFO", "device", "socket", "folder", "loop", "dangling"])
def test_what_is_no_file_is_told_and_never_waited_for(verbs: Verbs, dataset: Record, kind: str, name: str) -> None:
    root = dataset(clips=3)
    special(root / "dev_data/fan/train" / name, kind)
    with bounded(seconds=20):
        answer = verbs("data", "check", root, "--workers", "2")
    assert "section_00" not in answer.err
    if kind in ("FIFO", "device", "socket"):
        assert f"{name}: left out: it is a {kind}" in answer.out


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "loop", "dangling"])
def test_a_clip_that_turns_into_no_file_is_unreadable(tmp_path: Path, kind: str) -> None:
    """Between the walk and the read, anything may take a file's place."""
    special(tmp_path / "x.wav", kind)
    for read in (read_header, lambda path: read_samples(path, rate=16_000, channel=0)):
        with bounded(seconds=5, gib=0.5), pytest.raises(UnreadableClip, match="no regular file|cannot be opened"):
            read(tmp_path / "x.wav")


def test_truth_that_is_a_fifo_is_not_waited_for(verbs: Verbs, dataset: Record, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    (labels / "ground_truth_data").mkdir(parents=True)
    (labels / "ground_truth_domain").mkdir()
    os.mkfifo(labels / "ground_truth_data/ground_truth_fan_section_00_test.csv")
    with bounded(seconds=10):
        verbs.refused("data", "check", dataset(clips=2), "--labels", labels, words=("no regular file",))


@pytest.mark.parametrize("name", ["attributes_00.csv", "eval_data_list.csv", "other.csv"])
def test_a_csv_file_of_a_terabyte_is_left_out(verbs: Verbs, dataset: Record, name: str) -> None:
    root = dataset(clips=2)
    with open(root / "dev_data/fan" / name, "wb") as file:
        file.truncate(1 << 40)
    with bounded(seconds=20):
        assert "where at most" in verbs("data", "check", root, "--layout", "dcase2022").out


@pytest.mark.parametrize("channels", [1, 2, 700])
def test_a_sparse_clip_of_a_terabyte_is_too_long(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros((4000, channels)), 16_000, subtype="PCM_16")
    with open(path, "r+b") as file:
        file.seek(40)
        file.write(b"\xff\xff\xff\xff")
        file.truncate(1 << 40)
    with bounded(seconds=10, gib=0.5), pytest.raises(UnreadableClip, match="too long|truncated|cannot be read"):
        read_samples(path, rate=16_000, channel=0)


def test_a_flac_that_claims_more_than_it_holds_takes_no_memory(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "x.flac")
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the upper bits of 36 that count the samples
    path.write_bytes(data)
    with bounded(seconds=5, gib=0.25), pytest.raises(UnreadableClip):
        read_samples(path, rate=16_000, channel=0)


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
@pytest.mark.parametrize("channel", [0, 1, "mean"])
def test_blocks_give_what_the_whole_gives(
    tmp_path: Path, record: Record, subtype: str, channel: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path / "x.wav", channels=2, subtype=subtype)
    expected = read_samples(path, rate=16_000, channel=channel)[0]
    monkeypatch.setattr("asd_ray.clips.audio.BLOCK", 1_234)
    assert np.array_equal(read_samples(path, rate=16_000, channel=channel)[0], expected)
    assert np.array_equal(
        read_samples(path, rate=16_000, channel=channel, room=np.empty(99_999, np.int16))[0], expected
    )


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
    assert ("kept as a unit of its own" in told(table)) == bool(mixed)
    assert all(name in told(table) for name in mixed)


SITES = [
    (["a/fan/unit_1/normal", "b/fan/unit_1/normal"], True),
    (["a/fan/unit_1/train/normal", "b/fan/unit_1/train/normal"], True),
    (["a/fan/unit_1/train/normal", "b/fan/unit_1/test/normal"], False),  # training in one place, test in another
    (["a/fan/unit_1/normal", "b/fan/unit_2/normal"], False),
    (["fan/normal", "fan/unit_00/normal"], True),
]


@pytest.mark.parametrize(("folders", "mixed"), SITES)
def test_a_unit_made_of_two_sites_is_named(tmp_path: Path, record: Record, folders: list[str], mixed: bool) -> None:
    table = scan(plain(tmp_path / "data", record, *folders))
    assert ("is made of clips of 2 folders" in told(table)) == mixed
    if mixed:
        assert folders[0].removesuffix("/normal").removesuffix("/train") in told(table)


def test_two_sites_of_an_official_layout_are_named(tmp_path: Path, record: Record) -> None:
    for n, site in enumerate(("a", "b")):
        record(tmp_path / f"data/{site}/fan/train/section_00_source_train_normal_000{n}_.wav", seed=n)
    assert "id 00 is made of clips of 2 folders: a/fan, b/fan" in told(scan(tmp_path / "data"))


def test_development_and_evaluation_folders_are_no_mixture(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "data/dev_data/fan/train/section_00_source_train_normal_0000_.wav")
    record(tmp_path / "data/dev_data/fan/test/section_00_source_test_normal_0000_.wav")
    record(tmp_path / "data/eval_data/fan/train/section_03_source_train_normal_0000_.wav")
    record(tmp_path / "data/eval_data/fan/test/section_03_0000.wav")
    assert "made of clips" not in told(scan(tmp_path / "data"))


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
def test_a_clip_in_the_wrong_folder_is_told_with_the_right_reason(
    tmp_path: Path, record: Record, wrong: str, right: str, reason: str
) -> None:
    record(tmp_path / "data" / wrong)
    record(tmp_path / "data" / right, seed=1)
    text = told(scan(tmp_path / "data"))
    assert f"{wrong}: " in text
    assert reason in text
    assert "not named as this layout" not in text
    assert "move" in text


def test_many_anomalies_in_training_are_one_line(tmp_path: Path, record: Record) -> None:
    table = scan(plain(tmp_path / "data", record, "press/train/abnormal", "press/train/normal", each=9))
    lines = [line for line in told(table).splitlines() if "anomalous clips" in line]
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
def test_audio_that_is_there_twice_is_told_by_its_content(
    tmp_path: Path, record: Record, first: str, second: str, reason: str, suffix: str
) -> None:
    root = plain(tmp_path / "data", record, *whole("press"), *whole("pump"))
    samples = np.random.default_rng(9).integers(-9_000, 9_000, 8_000, np.int16)
    soundfile.write(root / first, samples, 16_000)
    soundfile.write((root / second).with_suffix(f".{suffix}"), samples, 16_000)
    table = scan(root)
    found = check(table, Decoding()).table
    assert ("the same audio is" in told(found)) == bool(reason)
    assert reason in told(found)
    assert [str(p) for p in open_bank(table).notes if "same audio" in p.rule] == [
        line for line in told(found).splitlines() if "same audio" in line
    ]


def test_silent_clips_are_called_silent_not_equal(tmp_path: Path, record: Record) -> None:
    root = plain(tmp_path / "data", record, *whole("press"))
    for place in whole("press"):
        soundfile.write(root / place / "s.wav", np.zeros(8_000), 16_000)
    text = told(check(scan(root), Decoding()).table)
    assert "silent" in text
    assert "same audio" not in text
    assert not [str(each) for each in open_bank(scan(root)).notes if "same audio" in each.rule]


# -- names of machines -------------------------------------------------------------------------------------------

NAMES = ["a b", "ünit", "fan#2", "press (old)", "m" * 129, "[", "a'b", "日本", "fan\nx"]


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_that_no_ledger_can_name_is_told_by_check(
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


def test_a_root_that_is_the_machine_says_so(tmp_path: Path, record: Record) -> None:
    root = plain(tmp_path / "my fan", record, "train/normal", "test/normal", "test/abnormal")
    assert "rename its folder" in told(scan(root))


LACKS = [
    (["pump/train/normal"], "it has no test clips"),
    (["pump/test/normal", "pump/test/abnormal"], "it has no normal training clips"),
    (["pump/train/normal", "pump/test/normal"], "no anomaly one"),
]


@pytest.mark.parametrize(("folders", "why"), LACKS)
def test_one_machine_that_cannot_be_searched_stops_no_other(
    verbs: Verbs, tmp_path: Path, record: Record, folders: list[str], why: str
) -> None:
    root = plain(tmp_path / "data", record, *whole("press"), *folders)
    table = scan(root, machines=["press", "pump"])
    assert searchable(table, ["press", "pump"]) == ["press"]
    assert searchable(table) == ["press"]
    run = tmp_path / "run"
    verbs.refused("search", "pump", "--data", root, "--run", run, "--serial", words=("pump", why, "searched"))
    assert not run.exists()


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


def test_an_empty_variable_is_no_cache_in_this_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
def test_a_billion_workers_are_as_many_as_there_are_clips(
    verbs: Verbs, tmp_path: Path, record: Record, workers: str
) -> None:
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
        assert "0_0.wav: cannot be opened" in told(check(table, Decoding()).table, "error")
    else:
        with pytest.raises(AsdRayError, match="0_0.wav: cannot be opened"):
            open_bank(table)
