"""Look at a whole dataset before anything is taken: every clip opened, every problem named at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from asd_ray._threads import threads
from asd_ray.clips._store import Decoding, digest
from asd_ray.clips.audio import Header, Samples, UnreadableClip, read_header, read_samples
from asd_ray.clips.bank import decoding_notes, repeated_audio
from asd_ray.clips.scan import UNSEARCHABLE, unsearchable
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
    digests: list[str] = []
    paths = frame["path"].tolist()
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]

    def look(chunk: Sequence[str]) -> list[_Look]:
        room = np.empty(ROOM, np.int16)
        return [_look(table, path, decoding, room if decode else None) for path in chunk]

    with ThreadPoolExecutor(threads(workers, len(chunks)), "asd_ray-check") as pool:
        for answers in pool.map(look, chunks):
            looked += [answer.header for answer in answers]
            found += [answer.problem for answer in answers if answer.problem is not None]
            digests += [answer.digest for answer in answers if isinstance(answer.header, Header)]
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
        lost.append(Problem("warning", machine, f"{UNSEARCHABLE}: none of its clips can be read", "fix them"))
    twice = repeated_audio(readable.assign(digest=digests)) if decode else []
    rest = [*found, *twice, *_unusually_short(readable), *decoding_notes(readable, decoding)]
    return Checked(table.with_frame(readable, *broken, *lost, *rest))


class _Look(NamedTuple):
    """What one file is found to be."""

    header: Header | Problem
    problem: Problem | None = None  # of a clip that can be used
    digest: str = ""  # of its samples; "" where they were not decoded, or where all are equal


def _look(table: ClipTable, path: str, decoding: Decoding, room: Samples | None) -> _Look:
    try:
        if room is None:
            return _Look(read_header(table.root / path))
        samples, header = read_samples(table.root / path, rate=decoding.rate, channel=decoding.channel, room=room)
    except UnreadableClip as problem:
        return _Look(Problem("error", path, problem.rule, problem.cure))
    low, high = int(samples.min()), int(samples.max())
    if low == high:
        silent = Problem("warning", path, "silent: all samples are equal", "check the recorder, or remove it")
        return _Look(header, silent)
    told = digest(samples).hex()
    if max(-low, high) >= 32767:
        share = float(np.mean((samples >= 32767) | (samples <= -32768)))
        if share >= CLIPPED:
            rule = f"clipped: {share:.0%} of its samples are at full scale"
            return _Look(header, Problem("warning", path, rule, "record with less gain"), told)
    return _Look(header, None, told)


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
