"""Check a whole dataset before it is used: open every clip, and report all problems together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from asd_ray._threads import threads
from asd_ray.clips._store import Decoding, digest
from asd_ray.clips.audio import ALL, Header, Samples, UnreadableClip, read_header, read_samples
from asd_ray.clips.bank import as_channel
from asd_ray.clips.decoding_notes import decoding_notes, other_channels, repeated_audio
from asd_ray.clips.mirror import fetch_clips
from asd_ray.clips.progress import ClipCounter, ProgressCallback
from asd_ray.clips.searchable import UNSEARCHABLE, unsearchable
from asd_ray.clips.summary import CellSummary, MachineSummary, cell_summaries, machine_summaries
from asd_ray.clips.table import ERROR, WARNING, ClipTable, Problem, left_out

BUFFER = 400_000  # samples: a clip of 25 s at 16 kHz
CHUNK = 64  # clips per task: small enough for a smooth progress bar
CLIPPED = 0.01  # share of samples at full scale from which a recording counts as clipped


@dataclass(frozen=True)
class CheckReport:
    """The result of `check`: the readable clips with their MEASURED columns, and every problem."""

    table: ClipTable
    decoded: bool  # False if only the headers were read
    decoding: Decoding = Decoding()  # that a bank would have

    @property
    def clips(self) -> pd.DataFrame:
        return self.table.frame

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.table.problems

    @property
    def ok(self) -> bool:
        """Whether a search can run: no problem is an error."""
        return not any(problem.severity == ERROR for problem in self.problems)

    @property
    def seconds(self) -> float:
        """The length of all readable clips together."""
        return float(self.clips["seconds"].sum())

    @property
    def bank_bytes(self) -> int:
        """The size of the samples that a bank of the readable clips would keep."""
        channels = self.clips["channels"] if self.decoding.channel == ALL else 1
        return int((2 * channels * self.clips["seconds"] * self.decoding.rate).sum())

    @property
    def cells(self) -> list[CellSummary]:
        return cell_summaries(self.clips)

    @property
    def machines(self) -> list[MachineSummary]:
        return machine_summaries(self.table)

    def to_json(self) -> dict[str, Any]:
        """What ``asd-ray data check --json`` prints."""
        return {
            "root": self.table.place,
            "layout": self.table.layout,
            "year": self.table.year,
            "split_seed": self.table.split_seed,
            "ok": self.ok,
            "clips": len(self.table),
            "bank_bytes": self.bank_bytes,
            "cells": [cell.to_row() for cell in self.cells],
            "severities": Counter(problem.severity for problem in self.problems),
            "problems": [dataclasses.asdict(problem) for problem in self.problems],
        }


def check(
    table: ClipTable,
    *,
    rate: int = 16_000,
    channel: int | str = 0,
    decode: bool = True,
    cache: str | Path | None = None,
    progress: ProgressCallback | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
) -> CheckReport:
    """Open every clip of `table`. With `decode`, also decode it to its end, which finds errors that a header hides.

    With `skip_broken`, clips that a bank would leave out are warnings and not errors, unless a machine has no others.

    Clips on S3 are first downloaded into the mirror in `cache`; `progress` then counts each clip twice.
    """
    decoding = Decoding(rate, as_channel(channel))
    counter = ClipCounter(len(table), progress)
    table = fetch_clips(table, cache, counter)
    frame = table.frame
    results = _open_all(table, decoding, decode, counter, workers)
    readable = frame[[result.header is not None for result in results]].reset_index(drop=True)
    headers = [result.header for result in results if result.header is not None]
    readable = readable.assign(
        rate=np.array([h.rate for h in headers], np.int64),
        channels=np.array([h.channels for h in headers], np.int64),
        frames=np.array([h.frames for h in headers], np.int64),
        seconds=np.array([h.seconds for h in headers], np.float64),
    )
    broken = [result.problem for result in results if result.problem is not None and result.header is None]
    suspicious = [result.problem for result in results if result.problem is not None and result.header is not None]
    digests = [result.digest for result in results if result.header is not None]
    readable = readable.assign(digest=digests)
    broken += _other_channels(readable) if decoding.channel == ALL else []
    if skip_broken:
        readable = readable[~readable["path"].isin([problem.path for problem in broken])].reset_index(drop=True)
        lost = set(frame["machine"]) - set(readable["machine"])
        needed = set(frame.loc[frame["machine"].isin(lost), "path"])
        broken = [problem if problem.path in needed else left_out(problem) for problem in broken]
    repeated = repeated_audio(readable) if decode else []
    readable = readable.drop(columns="digest")
    unusable = _newly_unsearchable(table, readable) if broken else []
    short = _unusually_short(readable)
    notes = decoding_notes(readable, decoding)
    problems = [*broken, *unusable, *suspicious, *repeated, *short, *notes]
    return CheckReport(table.with_frame(readable, *problems), decode, decoding)


class _Opened(NamedTuple):
    """The result of opening one file."""

    header: Header | None  # None if the clip cannot be used
    problem: Problem | None = None
    digest: str = ""  # of the samples; "" if they were not decoded, or if all of them are equal


def _open_all(
    table: ClipTable, decoding: Decoding, decode: bool, counter: ClipCounter, workers: int | None
) -> list[_Opened]:
    paths = table.frame["path"].tolist()
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]

    def open_chunk(chunk: Sequence[str]) -> list[_Opened]:
        buffer = np.empty(BUFFER, np.int16) if decode else None
        return [_open_clip(table, path, decoding, buffer) for path in chunk]

    results: list[_Opened] = []
    with ThreadPoolExecutor(threads(workers, len(chunks)), "asd_ray-check") as pool:
        for opened in pool.map(open_chunk, chunks):
            results += opened
            counter.advance(len(opened))
    return results


def _open_clip(table: ClipTable, path: str, decoding: Decoding, buffer: Samples | None) -> _Opened:
    try:
        if buffer is None:
            return _Opened(read_header(table.root / path))
        samples, header = read_samples(table.root / path, rate=decoding.rate, channel=decoding.channel, buffer=buffer)
    except UnreadableClip as error:
        return _Opened(None, Problem(ERROR, path, error.rule, error.cure))
    dead = [n for n, channel in enumerate(samples) if channel.min() == channel.max()] if samples.ndim == 2 else []
    if 0 < len(dead) < len(samples):
        rule = f"channel {dead[0]} is silent: all its samples are equal"
        return _Opened(header, Problem(WARNING, path, rule, "check its microphone"), digest(samples.reshape(-1)).hex())
    samples = samples.reshape(-1)  # one channel after another
    low, high = int(samples.min()), int(samples.max())
    if low == high:
        silent = Problem(WARNING, path, "silent: all samples are equal", "check the recorder, or remove it")
        return _Opened(header, silent)
    return _Opened(header, _clipping(path, samples, max(-low, high)), digest(samples).hex())


def _clipping(path: str, samples: Samples, peak: int) -> Problem | None:
    if peak < 32767:
        return None
    share = float(np.mean((samples >= 32767) | (samples <= -32768)))
    if share < CLIPPED:
        return None
    return Problem(WARNING, path, f"clipped: {share:.0%} of its samples are at full scale", "record with less gain")


def _newly_unsearchable(table: ClipTable, readable: pd.DataFrame) -> list[Problem]:
    """Problems that arise because clips cannot be read: a machine may have lost its only anomaly."""
    problems = [problem for problem in unsearchable(readable) if problem not in table.problems]
    for machine in sorted(set(table.frame["machine"]) - set(readable["machine"])):
        problems.append(Problem(WARNING, machine, f"{UNSEARCHABLE}: none of its clips can be read", "fix them"))
    return problems


def _other_channels(readable: pd.DataFrame) -> list[Problem]:
    """Problems of clips that have not as many channels as most clips of their machine."""
    problems: list[Problem] = []
    for _, rows in readable.groupby("machine"):
        problems += other_channels(rows["path"].tolist(), rows["channels"].to_numpy())
    return problems


def _unusually_short(frame: pd.DataFrame) -> list[Problem]:
    """Clips shorter than half the median of their machine; they are used, but often they are broken recordings."""
    median = frame.groupby("machine")["seconds"].transform("median")
    short = frame[frame["seconds"] < median / 2]
    return [
        Problem(WARNING, path, f"only {seconds:.2f} s where {usual:.1f} s are usual", "record it again, or remove it")
        for path, seconds, usual in zip(short["path"], short["seconds"], median[short.index], strict=True)
    ]
