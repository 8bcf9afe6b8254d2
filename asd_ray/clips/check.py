"""Look at a whole dataset before anything is taken: every clip opened, every problem named at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asd_ray.clips._store import Decoding
from asd_ray.clips.audio import Header, Samples, UnreadableClip, read_header, read_samples
from asd_ray.clips.bank import decoding_notes
from asd_ray.clips.scan import unsearchable
from asd_ray.clips.table import ClipTable, Problem

ROOM = 400_000  # samples: a clip of 25 s, reused for the next
CHUNK = 64  # clips a task: short enough for a smooth progress bar
CLIPPED = 0.01  # share of samples at full scale from which a recording is called clipped


@dataclass(frozen=True)
class Checked:
    """What `check` found: the readable clips with the MEASURED columns, and every problem."""

    table: ClipTable

    @property
    def ok(self) -> bool:
        """Whether a search could run."""
        return not any(p.severity == "error" for p in self.table.problems)


def check(
    table: ClipTable,
    decoding: Decoding,
    *,
    decode: bool = True,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Checked:
    """Open every clip of `table`; with `decode` also decode it to the end, which finds what a header hides."""
    frame = table.frame
    looked: list[Header | Problem] = []
    found: list[Problem] = []
    paths = frame["path"].tolist()
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]

    def look(chunk: Sequence[str]) -> list[tuple[Header | Problem, Problem | None]]:
        room = np.empty(ROOM, np.int16)
        return [_look(table, path, decoding, room if decode else None) for path in chunk]

    with ThreadPoolExecutor(workers or os.cpu_count(), "asd_ray-check") as pool:
        for answers in pool.map(look, chunks):
            looked += [header for header, _ in answers]
            found += [problem for _, problem in answers if problem is not None]
            if progress is not None:
                progress(len(looked), len(frame))
    broken = [answer for answer in looked if isinstance(answer, Problem)]
    readable = frame[[isinstance(answer, Header) for answer in looked]].reset_index(drop=True)
    headers = [answer for answer in looked if isinstance(answer, Header)]
    readable = readable.assign(
        rate=np.array([h.rate for h in headers], np.int64),
        channels=np.array([h.channels for h in headers], np.int64),
        frames=np.array([h.frames for h in headers], np.int64),
        seconds=np.array([h.seconds for h in headers], np.float64),
    )
    # Judged again on what can be read: a machine may have lost its only anomaly.
    lost = [p for p in unsearchable(readable) if p not in table.problems] if broken else []
    for machine in sorted(set(frame["machine"]) - set(readable["machine"])):
        lost.append(Problem("warning", machine, "cannot be searched: none of its clips can be read", "mend them"))
    rest = [*found, *_unusually_short(readable), *decoding_notes(readable, decoding)]
    return Checked(table.with_frame(readable, *broken, *lost, *rest))


def _look(
    table: ClipTable, path: str, decoding: Decoding, room: Samples | None
) -> tuple[Header | Problem, Problem | None]:
    try:
        if room is None:
            return read_header(table.root / path), None
        samples, header = read_samples(table.root / path, rate=decoding.rate, channel=decoding.channel, room=room)
    except UnreadableClip as problem:
        return Problem("error", path, problem.rule, problem.cure), None
    low, high = int(samples.min()), int(samples.max())
    if low == high:
        return header, Problem("warning", path, "silent: all samples are equal", "check the recorder, or remove it")
    if max(-low, high) >= 32767:
        share = float(np.mean((samples >= 32767) | (samples <= -32768)))
        if share >= CLIPPED:
            return header, Problem(
                "warning", path, f"clipped: {share:.0%} of its samples are at full scale", "record with less gain"
            )
    return header, None


def _unusually_short(frame: pd.DataFrame) -> list[Problem]:
    """Clips under half the usual length of their machine; they are used, but often are broken recordings."""
    usual = frame.groupby("machine")["seconds"].transform("median")
    short = frame[frame["seconds"] < usual / 2]
    return [
        Problem("warning", path, f"only {seconds:.2f} s where {whole:.1f} s are usual", "record it again, or remove it")
        for path, seconds, whole in zip(short["path"], short["seconds"], usual[short.index], strict=True)
    ]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a machine × id × domain: clips by split and label, seconds, rates, channels."""
    rows = []
    for (machine, id, domain), clips in frame.groupby(["machine", "id", "domain"], sort=True):
        count = clips.groupby(["split", "label"]).size()
        rows.append(
            {
                "machine": machine,
                "id": id,
                "domain": domain or "-",
                "train": int(count.get(("train", "normal"), 0)),
                "test normal": int(count.get(("test", "normal"), 0)),
                "test anomaly": int(count.get(("test", "anomaly"), 0)),
                "test unlabelled": int(count.get(("test", "unknown"), 0)),
                "supplemental": int((clips["split"] == "supplemental").sum()),
                "seconds": _span(clips["seconds"]),
                "Hz": _each(clips["rate"]),
                "ch": _each(clips["channels"]),
            }
        )
    return pd.DataFrame(rows)


def _span(seconds: pd.Series) -> str:
    low, high = seconds.min(), seconds.max()
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f}–{high:.1f}"


def _each(values: pd.Series) -> str:
    return ", ".join(str(v) for v in sorted(values.unique()))
