"""Files that are not recordings, or whose headers claim too much: a message, within bounds of time and memory."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips.audio import UnreadableClip, read_header, read_samples

from ..hostile import Verbs, bounded

Record = Callable[..., Path]


def special(path: Path, kind: str) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(path.parent)
            server.bind(path.name)
            os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("gone.wav")


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "attributes_00.csv", "eval_data_list.csv", "other.csv"])
@pytest.mark.parametrize("kind", ["FIFO", "device", "socket", "folder", "loop", "dangling"])
def test_a_special_file_is_reported_and_never_waited_for(verbs: Verbs, dataset: Record, kind: str, name: str) -> None:
    root = dataset(clips=3)
    special(root / "dev_data/fan/train" / name, kind)
    with bounded(seconds=20):
        answer = verbs("data", "check", root, "--workers", "2")
    assert "section_00" not in answer.err
    if kind in ("FIFO", "device", "socket"):
        assert f"{name}: left out: it is a {kind}" in answer.out


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "loop", "dangling"])
def test_a_clip_that_becomes_a_special_file_is_unreadable(tmp_path: Path, kind: str) -> None:
    """A file can be replaced between the walk and the read."""
    special(tmp_path / "x.wav", kind)
    for read in (read_header, lambda path: read_samples(path, rate=16_000, channel=0)):
        with bounded(seconds=5, gib=0.5), pytest.raises(UnreadableClip, match="not a regular file|cannot be opened"):
            read(tmp_path / "x.wav")


def test_a_label_list_that_is_a_fifo_is_not_waited_for(verbs: Verbs, dataset: Record, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    (labels / "ground_truth_data").mkdir(parents=True)
    (labels / "ground_truth_domain").mkdir()
    os.mkfifo(labels / "ground_truth_data/ground_truth_fan_section_00_test.csv")
    with bounded(seconds=10):
        verbs.refused("data", "check", dataset(clips=2), "--labels", labels, words=("not a regular file",))


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
def test_decoding_in_blocks_gives_the_same_samples(
    tmp_path: Path, record: Record, subtype: str, channel: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(tmp_path / "x.wav", channels=2, subtype=subtype)
    expected = read_samples(path, rate=16_000, channel=channel)[0]
    monkeypatch.setattr("asd_ray.clips.audio.BLOCK", 1_234)
    assert np.array_equal(read_samples(path, rate=16_000, channel=channel)[0], expected)
    assert np.array_equal(
        read_samples(path, rate=16_000, channel=channel, buffer=np.empty(99_999, np.int16))[0], expected
    )
