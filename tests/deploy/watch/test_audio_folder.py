from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.deploy.watch.audio_folder import AudioFolder
from asd_ray.deploy.watch.cutting import Cutting
from asd_ray.deploy.watch.source import Broken, Window
from asd_ray.errors import AsdRayError
from benchmarks._band_scorer import noise

CUTTING = Cutting(4_000, 1.0, 0.5)
Record = Callable[..., Path]


class Looking:
    """The items of a folder, as far as they were asked for."""

    def __init__(self, folder: Path, **how: object) -> None:
        self.stopping = threading.Event()
        self.source = AudioFolder(folder, **{"settle": 0.0, **how})  # type: ignore[arg-type]
        self._items: Iterator[Window | Broken | None] = self.source.windows(CUTTING, self.stopping)

    def once(self) -> list[Window | Broken]:
        """What one look at the folder finds."""
        found = []
        while (item := next(self._items)) is not None:
            found.append(item)
        return found

    def names(self) -> list[str]:
        return [item.name for item in self.once()]


@pytest.fixture(autouse=True)
def _looks_without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_ray.deploy.watch.audio_folder.POLL", 0.01)
    monkeypatch.setattr("asd_ray.deploy.watch.audio_folder.SHARE", 0)


def test_new_files_are_read_once_and_old_ones_skipped(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "old.wav", seconds=1.0)
    looking = Looking(tmp_path)
    assert looking.names() == []
    record(tmp_path / "a.wav", seconds=1.0)
    record(tmp_path / "2026" / "11" / "b.flac", seconds=1.0)
    record(tmp_path / ".hidden.wav", seconds=1.0)
    assert sorted(looking.names()) == ["2026/11/b.flac", "a.wav"]
    assert looking.names() == []
    os.utime(tmp_path / "a.wav")
    assert looking.names() == []
    assert looking.source.files == 2


def test_existing_files_are_read_on_request_the_oldest_first(tmp_path: Path, record: Record) -> None:
    for age, name in enumerate(("c", "a", "b")):
        os.utime(record(tmp_path / f"{name}.wav", seconds=1.0), (1000 - age, 1000 - age))
    assert Looking(tmp_path, existing=True).names() == ["b.wav", "a.wav", "c.wav"]


def test_a_file_is_read_when_it_no_longer_grows(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("asd_ray.deploy.watch.audio_folder.time.monotonic", lambda: now[0])
    whole = record(tmp_path / "elsewhere" / "x.wav", seconds=3.0, rate=4_000).read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()
    looking = Looking(folder, settle=2.0)
    looking.once()
    for part in range(1, 5):  # the writer adds a part each second
        (folder / "x.wav").write_bytes(whole[: len(whole) * part // 4])
        now[0] += 1.0
        assert looking.once() == []
    now[0] += 1.5
    assert looking.once() == []
    now[0] += 1.0
    assert [item.offset for item in looking.once() if isinstance(item, Window)] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_windows_of_a_file_are_those_of_its_samples(tmp_path: Path) -> None:
    sound = noise(2.7, rate=4_000)
    soundfile.write(tmp_path / "x.flac", sound, 4_000)
    os.utime(tmp_path / "x.flac", (1_000_000_000, 1_000_000_000))
    windows = Looking(tmp_path, existing=True).once()
    assert [(w.offset, w.began.timestamp() - 1e9) for w in windows if isinstance(w, Window)] == [
        (offset, pytest.approx(offset - 2.7)) for offset in (0.0, 0.5, 1.0, 1.5, 1.7)
    ]
    for window in windows:
        assert isinstance(window, Window)
        start = round(window.offset * 4_000)
        assert (window.samples == sound[start : start + 4_000]).all()


def test_a_short_file_is_one_window(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "x.wav", seconds=0.5)
    (window,) = Looking(tmp_path, existing=True).once()
    assert isinstance(window, Window)
    assert (window.seconds, window.whole) == (0.5, False)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.wav", b"", "the file is empty"),
        ("text.wav", b"no sound at all, but a longer text than a header", "cannot be read as wav or flac"),
        ("song.mp3", b"ID3", "cannot be read as wav or flac"),
        ("cut.flac", None, "cut.flac"),
        ("floats.wav", None, "NaN or infinite"),
    ],
)
def test_broken_files_are_named_and_the_others_are_read(
    tmp_path: Path, record: Record, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name == "floats.wav":
        soundfile.write(path, np.array([0.0, np.nan] * 4000), 4_000, subtype="FLOAT")
    else:
        whole = record(tmp_path / name, seconds=2.0).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    record(tmp_path / "good.wav", seconds=1.0)
    looking = Looking(tmp_path, existing=True)
    found = looking.once()
    (broken,) = (item for item in found if isinstance(item, Broken))
    assert words in f"{broken.name} {broken.reason}"
    assert [item.name for item in found if isinstance(item, Window) and item.name != name] == ["good.wav"]
    assert looking.once() == []  # a broken file is reported once


def test_a_broken_file_is_read_when_it_has_changed(tmp_path: Path, record: Record) -> None:
    whole = record(tmp_path / "x.wav", seconds=1.0).read_bytes()
    (tmp_path / "x.wav").write_bytes(whole[:2000])
    looking = Looking(tmp_path, existing=True)
    (broken,) = looking.once()
    assert isinstance(broken, Broken)
    assert "truncated" in broken.reason
    (tmp_path / "x.wav").write_bytes(whole)
    (window,) = looking.once()
    assert isinstance(window, Window)


def test_a_folder_that_is_away_for_a_while_is_reported_once(tmp_path: Path, record: Record) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    looking = Looking(folder)
    looking.once()
    folder.rename(tmp_path / "away")
    (broken,) = looking.once()
    assert isinstance(broken, Broken)
    assert "no such folder" in broken.reason
    assert looking.once() == []
    (tmp_path / "away").rename(folder)
    record(folder / "x.wav", seconds=1.0)
    assert looking.names() == ["x.wav"]


def test_names_that_are_not_text_are_reported_once(tmp_path: Path, record: Record) -> None:
    looking = Looking(tmp_path)
    looking.once()
    for _ in range(2):
        os.rename(record(tmp_path / "x.wav", seconds=1.0), os.fsencode(tmp_path) + b"/\xff.wav")
        (broken,) = looking.once()
        assert isinstance(broken, Broken)
        assert "its name is not UTF-8 text; rename it" in broken.reason
        assert looking.once() == []
        os.unlink(os.fsencode(tmp_path) + b"/\xff.wav")
        looking.once()


def test_a_drive_that_was_away_brings_nothing_new(tmp_path: Path, record: Record) -> None:
    """The folder of a drive that is not mounted is empty."""
    folder, away = tmp_path / "drive", tmp_path / "away"
    record(folder / "old.wav", seconds=1.0)
    looking = Looking(folder)
    looking.once()
    record(folder / "a.wav", seconds=1.0)
    assert looking.names() == ["a.wav"]
    away.mkdir()
    for path in folder.iterdir():
        path.rename(away / path.name)
    assert looking.once() == []
    for path in away.iterdir():
        path.rename(folder / path.name)
    assert looking.once() == []


def test_a_new_file_under_an_old_name_is_read(tmp_path: Path, record: Record) -> None:
    looking = Looking(tmp_path)
    looking.once()
    for seconds in (1.0, 1.1, 1.2):
        record(tmp_path / "clip.wav", seconds=seconds)
        assert set(looking.names()) == {"clip.wav"}
        (tmp_path / "clip.wav").unlink()
        assert looking.once() == []


def test_memory_is_bounded(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_ray.deploy.watch.audio_folder.MOST_GONE", 3)
    looking = Looking(tmp_path)
    looking.once()
    for day in range(6):
        (tmp_path / f"broken{day}.wav").write_bytes(b"")
        record(tmp_path / str(day) / "x.wav", seconds=1.0)
        assert f"{day}/x.wav" in looking.names()
        shutil.rmtree(tmp_path / str(day))
        (tmp_path / f"broken{day}.wav").unlink()
    looking.once()
    assert list(looking.source._read) == ["3/x.wav", "4/x.wav", "5/x.wav"]
    assert looking.source._broken == {}
    assert looking.source._seen == {}


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsdRayError, match="no such folder"):
        AudioFolder(tmp_path / "nothing")
    with pytest.raises(AsdRayError, match="--settle must be between 0 and 3600"):
        AudioFolder(tmp_path, settle=-1.0)


def test_stopping_ends_in_the_middle_of_a_file(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "x.wav", seconds=20.0)
    looking = Looking(tmp_path, existing=True)
    next(looking._items)
    looking.stopping.set()
    assert list(looking._items) == []
