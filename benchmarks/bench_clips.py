"""The bank against two plain ways to decode clips: soundfile on all cores, and librosa one clip at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import librosa
import numpy as np
import soundfile

from asd_ray.clips.bank import open_bank
from asd_ray.clips.scan import scan
from benchmarks._timing import Row, compare

SECONDS, RATE = 10, 16_000
CLIPS = {"wav": 4000, "flac": 400}
LIBROSA = 60  # clips of the librosa loop, scaled to all


def run() -> Iterator[Row]:
    for suffix, clips in CLIPS.items():
        with tempfile.TemporaryDirectory() as temporary:
            yield from _banks(_dataset(Path(temporary) / "data", suffix, clips), Path(temporary) / "cache", suffix)


def _banks(root: Path, cache: Path, suffix: str) -> Iterator[Row]:
    table, paths = scan(root), sorted(map(str, root.rglob(f"*.{suffix}")))
    cores, clips, what = os.cpu_count() or 1, len(paths), f"bank built from {suffix}"

    def bank() -> None:
        open_bank(table, cache=cache)

    def tidy() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        os.sync()  # otherwise the disk may still be busy with what an earlier round wrote

    # Processes, because threads of soundfile block each other. They start before the clock, our threads after it.
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        chunks = [paths[i : i + 16] for i in range(0, clips, 16)]
        for name, loop in (
            ("soundfile.read(path)", _soundfile),
            ("soundfile.read(path, dtype=int16)", _soundfile_int16),
        ):
            ratio, ours, theirs = compare(bank, lambda loop=loop: sum(pool.map(loop, chunks)), tidy=tidy)  # type: ignore[misc]
            detail = f"{clips / ours:,.0f} against {clips / theirs:,.0f} clips of {SECONDS} s a second, {cores} cores"
            yield what, f"{name} on all cores, kept nowhere", ratio, detail
    ratio, ours, theirs = compare(bank, lambda: _librosa(paths[:LIBROSA]), rounds=3, tidy=tidy)
    detail = f"{clips / ours:,.0f} against {LIBROSA / theirs:,.0f} clips a second"
    yield what, "librosa.load one by one", ratio * clips / LIBROSA, detail


def _dataset(root: Path, suffix: str, clips: int) -> Path:
    rng = np.random.default_rng(0)
    folder = root / "dev_data" / "fan" / "train"
    folder.mkdir(parents=True)
    for i in range(clips):
        samples = (rng.standard_normal(SECONDS * RATE) * 1000).astype(np.int16)
        soundfile.write(folder / f"section_00_source_train_normal_{i:04d}_.{suffix}", samples, RATE)
    return root


def _soundfile(paths: list[str]) -> int:
    return sum(len(soundfile.read(path)[0]) for path in paths)


def _soundfile_int16(paths: list[str]) -> int:
    return sum(len(soundfile.read(path, dtype="int16")[0]) for path in paths)


def _librosa(paths: list[str]) -> int:
    return sum(len(librosa.load(path, sr=RATE)[0]) for path in paths)
