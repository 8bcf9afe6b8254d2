"""The bank: the decoded audio of a clip table, one memory map a machine, shared by all processes of a node."""

from __future__ import annotations

import dataclasses
import logging
import platform
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from asd_ray._threads import threads
from asd_ray.clips._store import (
    RECORD,
    Decoding,
    Store,
    UnreadableClips,
    build_store,
    file_hashes,
    open_store,
    store_key,
)
from asd_ray.clips.audio import MEAN, Samples
from asd_ray.clips.mirror import Mirror, files_of
from asd_ray.clips.scan import scan
from asd_ray.clips.table import ANOMALY, MEASURED, NORMAL, SUPPLEMENTAL, ClipTable, Problem
from asd_ray.errors import AsdRayError
from asd_ray.storage.caches import cache_root

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # clips done, clips in all


class Bank:
    """Decoded clips of a table, opened by `open_bank`. Rows of `frame` and positions are the same thing.

    `frame` has the clip table's columns, the MEASURED ones among them, and `digest` (of the decoded samples).
    """

    def __init__(self, table: ClipTable, stores: dict[str, Store], decoding: Decoding) -> None:
        self.table, self.decoding = table, decoding
        self._stores = stores
        frame = table.frame.copy()
        self._position = np.zeros(len(frame), np.intp)
        self._store = [stores[machine] for machine in frame["machine"]]
        records = np.zeros(len(frame), RECORD)
        for machine, store in stores.items():
            rows = np.flatnonzero(frame["machine"] == machine)
            self._position[rows] = store.positions(frame["path"].iloc[rows])
            records[rows] = store.records[self._position[rows]]
        for name in ("rate", "channels", "frames"):
            frame[name] = records[name].astype(np.int64)
        frame["seconds"] = frame["frames"] / frame["rate"]
        frame["digest"] = [d.tobytes().hex() for d in records["digest"]]
        self.frame = frame[[*table.frame.columns, *(m for m in MEASURED if m not in table.frame), "digest"]]
        self.lengths: npt.NDArray[np.int64] = records["length"].astype(np.int64)

    def __len__(self) -> int:
        return len(self.frame)

    def samples(self, row: int) -> Samples:
        """The clip in row `row`: a read-only view of the memory map, int16 at `decoding.rate`."""
        return self._store[row].clip(int(self._position[row]))

    def folder(self, machine: str) -> Path:
        """Where the samples of one machine lie."""
        return self._stores[machine].folder

    def select(
        self, machine: str | None = None, *, split: str | None = None, id: str | None = None, domain: str | None = None
    ) -> ClipSet:
        """The clips of one machine, split, id, domain, or all: what a detector fits on or scores."""
        wanted = np.ones(len(self), bool)
        for column, value in (("machine", machine), ("split", split), ("id", id), ("domain", domain)):
            if value is not None:
                wanted &= (self.frame[column] == value).to_numpy()
        return ClipSet(self, np.flatnonzero(wanted))

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Machine -> hash of names, labels, splits and decoded samples: equal on every computer that has equal data,
        wherever it lies and whatever container it is stored in."""
        columns = ["clip", "id", "domain", "split", "label", "attributes", "digest"]
        hashes = {}
        for machine, rows in self.frame.groupby("machine", sort=True):
            lines = sorted("\t".join(row) for row in rows[columns].itertuples(index=False, name=None))
            text = "\n".join([f"{self.decoding.rate}", *lines])
            hashes[str(machine)] = xxhash.xxh3_128_hexdigest(text.encode())
        return hashes

    def why_other(self, machine: str) -> str:
        """For a message: why a run's trials of the same files may be of other samples than these."""
        rates = self.frame.loc[self.frame["machine"] == machine, "rate"]
        if (rates == self.decoding.rate).all():
            return ""
        return (
            f"its clips are resampled to {self.decoding.rate} Hz: with another --rate, or by an asd_ray from before it "
            "used soxr, they were other samples (that run stays readable: ledger ls, ensemble, report); "
        )

    @property
    def notes(self) -> list[Problem]:
        """What decoding found: clips resampled, channels left out, the same audio in train and test."""
        return [*repeated_audio(self._without_silence()), *decoding_notes(self.frame, self.decoding)]

    def _without_silence(self) -> pd.DataFrame:
        """The clips, with no digest for those whose samples are all equal: these are silent rather than repeated."""
        digests = self.frame["digest"]
        again = np.flatnonzero(self.frame.duplicated(["machine", "digest"]))
        silent = {digests.iat[row] for row in again.tolist() if np.ptp(self.samples(row)) == 0}
        return self.frame.assign(digest=digests.where(~digests.isin(silent), ""))

    def verify(self) -> list[str]:
        """Paths whose stored samples no longer have their digest (a failing disk); reads everything."""
        broken = {m: set(store.broken()) for m, store in self._stores.items()}
        rows = zip(self.frame["machine"], self._position.tolist(), self.frame["path"], strict=True)
        return [path for machine, position, path in rows if position in broken[machine]]


class ClipSet:
    """Some clips of a bank, in a fixed order."""

    def __init__(self, bank: Bank, rows: npt.NDArray[np.intp]) -> None:
        self.bank, self.rows = bank, rows

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        return self.bank.frame.iloc[self.rows].reset_index(drop=True)

    @property
    def rate(self) -> int:
        return self.bank.decoding.rate

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return self.bank.lengths[self.rows]

    def samples(self, i: int) -> Samples:
        return self.bank.samples(int(self.rows[i]))

    def take(self, positions: npt.ArrayLike) -> ClipSet:
        """The clips at `positions` of this set (indices or a boolean mask)."""
        return ClipSet(self.bank, self.rows[np.asarray(positions)])

    def batches(self, size: int) -> Iterator[tuple[npt.NDArray[np.intp], Samples]]:
        """(positions, int16 array [clips, samples]) of at most `size` clips of exactly equal length.

        Clips are grouped by length, never padded: a padded clip has other features than the clip itself.
        """
        lengths = self.lengths
        order = np.argsort(lengths, kind="stable")
        edges = np.flatnonzero(np.diff(lengths[order])) + 1
        for group in np.split(order, edges):
            for start in range(0, len(group), size):
                positions = group[start : start + size]
                stacked = np.empty((len(positions), int(lengths[positions[0]])), np.int16)
                for slot, position in zip(stacked, positions, strict=True):
                    slot[:] = self.samples(int(position))
                yield positions, stacked


def open_bank(
    table: ClipTable | str | Path,
    *,
    rate: int = 16_000,
    channel: int | str = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Bank:
    """The bank of a table (or of a dataset's folder): opened where it is complete, built or finished where not.

    Builders on one node take turns a machine; every other process finds the finished store. All clips that cannot
    be read are named in one error, after all that can be read were decoded and kept.
    """
    if not isinstance(table, ClipTable):
        table = scan(table, cache=cache)
    mirror = Mirror(table.origin, cache) if table.origin is not None else None
    if mirror is not None:  # this node's own, whichever node made the table
        table = dataclasses.replace(table, root=mirror.root)
    decoding = Decoding(rate, as_channel(channel))
    home = cache_root(cache) / "banks" / (table.root.name or "root")
    done, total, stores, problems = 0, len(table), {}, []

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    named = table.frame[["machine", "path", "size", "mtime_ns"]].assign(file=file_hashes(table.frame))
    for machine, files in named.sort_values("path").groupby("machine"):
        folder = home / f"{machine}-{rate}-{decoding.channel}-{store_key(table.known_as, files, decoding)}"
        store = open_store(folder)
        if store is not None:
            advance(len(files))
        else:
            if mirror is not None:
                total += len(files)
                mirror.fetch(files_of(files), advance)
            elif not table.root.is_dir():
                raise AsdRayError(_elsewhere(table.root))
            before = done
            try:
                store = build_store(
                    folder,
                    table,
                    str(machine),
                    files,
                    decoding,
                    progress=advance,
                    waiting=lambda: log.warning("%s: another process builds it, waiting", folder),  # noqa: B023
                    workers=threads(workers, len(files)),
                )
            except UnreadableClips as error:
                problems += error.problems
                advance(before + len(files) - done)
                continue
        stores[str(machine)] = store
    if problems:
        raise UnreadableClips(table.root.name, problems)
    return Bank(table, stores, decoding)


def _elsewhere(root: Path) -> str:
    return (
        f"{root} is not on this node ({platform.node()}); every node must see the dataset: mount it there under the "
        "same path, or put it on S3 and name it as s3://bucket/folder"
    )


def as_channel(channel: int | str) -> int | str:
    """``0``, ``"0"`` or ``"mean"``."""
    if channel == MEAN or (isinstance(channel, int) and channel >= 0):
        return channel
    if isinstance(channel, str) and channel.isdecimal():
        return int(channel)
    raise AsdRayError(f"channel must be a number from 0, or 'mean', but got {channel!r}")


def decoding_notes(frame: pd.DataFrame, decoding: Decoding) -> list[Problem]:
    notes = []
    for rate, rows in frame[frame["rate"] != decoding.rate].groupby("rate"):
        lost = f"; they hold nothing above {int(str(rate)) // 2} Hz" if int(str(rate)) < decoding.rate else ""
        rule = f"{len(rows)} clips are at {rate} Hz and are resampled to {decoding.rate} Hz{lost}"
        notes.append(Problem("note", _examples(rows), rule, "choose another rate with --rate"))
    for channels, rows in frame[frame["channels"] > 1].groupby("channels"):
        used = "the mean of all channels" if decoding.channel == MEAN else f"channel {decoding.channel}"
        rule = f"{len(rows)} clips have {channels} channels; {used} is used"
        notes.append(Problem("note", _examples(rows), rule, "choose with --channel N or --channel mean"))
    return notes


def repeated_audio(frame: pd.DataFrame) -> list[Problem]:
    """Audio that a machine has both in training and test, or as normal and as anomalous: its scores mean nothing.

    `frame` has a column `digest`; clips with "" there are passed over.
    """
    problems = []
    again = frame[(frame["digest"] != "") & frame.duplicated(["machine", "digest"], keep=False)]
    for (machine, _), rows in again.groupby(["machine", "digest"], sort=False):
        clips = rows["path"].tolist()
        files = ", ".join(clips[:3]) + (f" and {len(clips) - 3} more" if len(clips) > 3 else "")
        if len(set(rows["split"]) - {SUPPLEMENTAL}) > 1:
            rule = f"the same audio is in train and test: {files}"
            problems.append(Problem("warning", str(machine), rule, "remove it from one of them"))
        elif {NORMAL, ANOMALY} <= set(rows["label"]):
            rule = f"the same audio is labelled normal and anomalous: {files}"
            problems.append(Problem("warning", str(machine), rule, "remove the wrong one"))
    return problems


def _examples(rows: pd.DataFrame) -> str:
    return f"{rows['path'].iat[0]}" + (" …" if len(rows) > 1 else "")
