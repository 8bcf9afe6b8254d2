"""Damaged headers and lists raise only the documented exceptions, within bounds of time and memory."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_ray.clips.audio import UnreadableClip, read_header, read_samples
from asd_ray.clips.check import check
from asd_ray.clips.scan import scan
from asd_ray.errors import AsdRayError

from ..hostile import bounded

KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("RF64", "PCM_16"),
]
KINDS += [("WAV", "IMA_ADPCM"), ("WAV", "ULAW")]
SETTINGS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
LISTS = ("attributes_00.csv", "eval_data_list.csv", "eval_data_list_2022.csv", "other.csv")
NAMES = ("section_00_source_train_normal_0000_.wav", "section_00_source_test_anomaly_0000_.wav", "section_00_0000.wav")


def encoded(kind: tuple[str, str], channels: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (3_000, channels))
    soundfile.write(file, noise, 16_000, format=kind[0], subtype=kind[1])
    return file.getvalue()


WHOLE = {(kind, channels): encoded(kind, channels) for kind in KINDS for channels in (1, 2)}
numbers = st.sampled_from([0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(
    0, 2**32 - 1
)
edits = st.lists(st.tuples(st.integers(0, 120), st.sampled_from([1, 2, 4]), numbers), max_size=6)


def damaged(whole: bytes, changes: list[tuple[int, int, int]], keep: float, extra: bytes) -> bytes:
    data = bytearray(whole)
    for at, size, value in changes:
        data[at : at + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(data[: int(len(data) * keep)]) + extra


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_damaged_clip_is_read_or_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"

    @SETTINGS
    @given(
        st.sampled_from(sorted(WHOLE)),
        edits,
        st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5, 0.01]),
        st.binary(max_size=40),
        st.sampled_from([0, 1, "mean"]),
        st.sampled_from([16_000, 8_000, 44_101]),
    )
    def fuzz(which: tuple, changes: list, keep: float, extra: bytes, channel: int | str, rate: int) -> None:  # type: ignore[type-arg]
        path.write_bytes(damaged(WHOLE[which], changes, keep, extra))
        problems: list[UnreadableClip] = []
        header = None
        try:
            header = read_header(path)
            samples, header_read = read_samples(path, rate=rate, channel=channel, buffer=np.empty(4_000, np.int16))
        except UnreadableClip as problem:
            problems.append(problem)
        else:
            assert header == header_read
            assert samples.dtype == np.int16
            assert len(samples) == -(-header_read.frames * rate // header_read.rate)
        assert all(problem.rule and problem.cure for problem in problems)

    with bounded(seconds=60):
        fuzz()


def test_a_folder_of_damaged_clips_is_checked(tmp_path: Path) -> None:
    @settings(SETTINGS, max_examples=15)
    @given(st.lists(st.tuples(st.sampled_from(sorted(WHOLE)), edits), min_size=1, max_size=5))
    def fuzz(clips: list) -> None:  # type: ignore[type-arg]
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            (Path(folder) / "normal").mkdir()
            for n, (which, changes) in enumerate(clips):
                (Path(folder) / "normal" / f"{n}.wav").write_bytes(damaged(WHOLE[which], changes, 1.0, b""))
            table = check(scan(folder), workers=1).table
            errors = [p for p in table.problems if p.severity == "error" and p.path.endswith(".wav")]
            assert len(table) + len(errors) == len(clips)

    with bounded(seconds=60):
        fuzz()


cells = st.sampled_from(
    ["", "0", "1", "normal", "anomaly", "fan", "fan/train/" + NAMES[0], *NAMES, '"', "\0", "\ud800"]
)
cells |= st.text(max_size=12)
tables = (
    st.lists(st.lists(cells, max_size=5).map(",".join), max_size=6)
    .map("\n".join)
    .map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2024])
@pytest.mark.parametrize("place", ["", "ground_truth_data", "ground_truth_domain", "ground_truth_attributes"])
def test_lists_of_anything_are_read_or_left_out(tmp_path: Path, year: int, place: str) -> None:
    root = tmp_path / "data"
    for split, name in (("train", NAMES[0]), ("test", NAMES[1]), ("test", NAMES[2])):
        (root / "fan" / split).mkdir(parents=True, exist_ok=True)
        (root / "fan" / split / name).write_bytes(b"x")
    (root / "fan/train/normal_id_00_00000000.wav").write_bytes(b"x")
    (root / "fan/source_test").mkdir()
    (root / "fan/source_test/section_00_source_test_0000.wav").write_bytes(b"x")
    if year != 2020:
        (root / "fan/train/normal_id_00_00000000.wav").unlink()
    (root / place).mkdir(exist_ok=True)
    for other in ("ground_truth_data", "ground_truth_domain", "ground_truth_attributes"):
        if place:
            (root / other).mkdir(exist_ok=True)
    names = (
        LISTS if not place else ("ground_truth_fan_section_00_test.csv", "ground_truth_fan_section_00_source_test.csv")
    )

    @settings(SETTINGS, max_examples=8)
    @given(st.sampled_from(names), tables | st.binary(max_size=60))
    def fuzz(name: str, content: bytes) -> None:
        messages: list[str] = []
        path = (root / place / name) if place else root / ("fan" if "attr" in name else "") / name
        path.write_bytes(content)
        try:
            scan(root, layout=f"dcase{year}")
            scan(root, layout=f"dcase{year}", labels=root)
        except AsdRayError as problem:
            messages.append(str(problem))
        path.unlink()
        assert all(messages)

    with bounded(seconds=60):
        fuzz()
