"""The bank: the decoded audio of a clip table, one memory map per machine, shared by all processes of a node."""

from __future__ import annotations

import dataclasses
import logging
import platform
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from asd_ray._threads import threads
from asd_ray.clips._build import build_store
from asd_ray.clips._store import (
    RECORD,
    Decoding,
    Store,
    UnreadableClips,
    file_hashes,
    open_store,
    store_key,
)
from asd_ray.clips.audio import ALL, MEAN, Samples
from asd_ray.clips.decoding_notes import decoding_notes, repeated_audio
from asd_ray.clips.mirror import Mirror, files_of
from asd_ray.clips.progress import ClipCounter, ProgressCallback
from asd_ray.clips.scan import scan
from asd_ray.clips.table import MEASURED, SUPPLEMENTAL, ClipTable, Problem, left_out
from asd_ray.errors import AsdRayError
from asd_ray.storage.caches import cache_root

log = logging.getLogger(__name__)


class Bank:
    """The decoded clips of a table; `open_bank` makes it. A clip is addressed by its row in `frame`.

    `frame` has the columns of the clip table, including the MEASURED ones, and `digest` (of the decoded samples).
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
        self.channels = _kept_channels(self.frame) if decoding.channel == ALL else 1
        self.lengths: npt.NDArray[np.int64] = records["length"].astype(np.int64) // self.channels

    def __len__(self) -> int:
        return len(self.frame)

    def samples(self, row: int, channel: int = 0) -> Samples:
        """One of the kept channels of the clip in row `row`: a read-only view of the memory map, at `decoding.rate`."""
        stored = self._store[row].clip(int(self._position[row]))
        if self.channels == 1:
            return stored
        length = int(self.lengths[row])
        return stored[channel * length : (channel + 1) * length]

    def every_channel(self, row: int) -> Samples:
        """The clip in row `row` as a bundle takes it: [channels, samples], or [samples] where one channel is kept."""
        if self.channels == 1:
            return self.samples(row)
        return np.stack([self.samples(row, channel) for channel in range(self.channels)])

    def folder(self, machine: str) -> Path:
        """The folder that holds the samples of one machine."""
        return self._stores[machine].folder

    @property
    def sample_bytes(self) -> int:
        """The size of the samples of all channels together."""
        return 2 * self.channels * int(self.lengths.sum())

    def select(
        self, machine: str | None = None, *, split: str | None = None, id: str | None = None, domain: str | None = None
    ) -> ClipSet:
        """The clips of one machine, split, id and domain, for a detector to fit or score; None selects all of them."""
        mask = np.ones(len(self), bool)
        for column, value in (("machine", machine), ("split", split), ("id", id), ("domain", domain)):
            if value is not None:
                mask &= (self.frame[column] == value).to_numpy()
        return ClipSet(self, np.flatnonzero(mask))

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Machine -> hash of names, labels, splits and decoded samples.

        It does not depend on the computer, on the folder, or on the file format (wav or flac).
        """
        columns = ["clip", "id", "domain", "split", "label", "attributes", "digest"]
        hashes = {}
        for machine, rows in self.frame.groupby("machine", sort=True):
            lines = sorted("\t".join(row) for row in rows[columns].itertuples(index=False, name=None))
            several = f" {self.channels} channels" if self.channels > 1 else ""
            text = "\n".join([f"{self.decoding.rate}{several}", *lines])
            hashes[str(machine)] = xxhash.xxh3_128_hexdigest(text.encode())
        return hashes

    def rate_hint(self, machine: str) -> str:
        """Part of a message about another fingerprint: how resampling can have changed it; "" without resampling."""
        rates = self.frame.loc[self.frame["machine"] == machine, "rate"]
        if (rates == self.decoding.rate).all():
            return ""
        return (
            f"its clips are resampled to {self.decoding.rate} Hz: with another --rate, or in a version of asd_ray that "
            "did not yet use soxr, the samples were different (that run stays readable: ledger ls, ensemble, report); "
        )

    @property
    def notes(self) -> list[Problem]:
        """Problems that decoding reveals: resampled clips, unused channels, the same audio in train and test."""
        return [*repeated_audio(self._without_silence()), *decoding_notes(self.frame, self.decoding)]

    @property
    def problems(self) -> list[Problem]:
        """The problems of the clip table, then the notes of decoding."""
        return [*self.table.problems, *self.notes]

    def _without_silence(self) -> pd.DataFrame:
        """The clips, with an empty digest for silent ones: two silent clips do not count as repeated audio."""
        digests = self.frame["digest"]
        repeated = np.flatnonzero(self.frame.duplicated(["machine", "digest"]))
        stored = {row: self._store[row].clip(int(self._position[row])) for row in repeated.tolist()}
        silent = {digests.iat[row] for row, samples in stored.items() if np.ptp(samples) == 0}
        return self.frame.assign(digest=digests.where(~digests.isin(silent), ""))

    def verify(self) -> list[str]:
        """Read all samples; return the paths of clips whose samples no longer match their digest (a failing disk)."""
        broken = {m: set(store.broken()) for m, store in self._stores.items()}
        rows = zip(self.frame["machine"], self._position.tolist(), self.frame["path"], strict=True)
        return [path for machine, position, path in rows if position in broken[machine]]


class Audio(Protocol):
    """What a `ClipSet` needs: `Bank` has it, and so have sounds in memory (`WaveBank`)."""

    decoding: Decoding
    frame: pd.DataFrame
    lengths: npt.NDArray[np.int64]  # samples of one channel
    channels: int  # that are kept of every clip

    def __len__(self) -> int: ...

    def samples(self, row: int, channel: int = 0) -> Samples: ...


class ClipSet:
    """Some clips of a bank, in a fixed order. A clip's samples are those of one channel: 0, or that of `on_channel`."""

    def __init__(self, bank: Audio, rows: npt.NDArray[np.intp], channel: int = 0) -> None:
        self.bank, self.rows, self.channel = bank, rows, channel

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows of the bank's frame. `digest` is another one on each channel, so that features are cached apart."""
        frame = self.bank.frame.iloc[self.rows].reset_index(drop=True)
        if self.channel and "digest" in frame:
            frame["digest"] = [f"{digest}.{self.channel}" for digest in frame["digest"]]
        return frame

    @property
    def channels(self) -> int:
        """How many channels the bank keeps: 1, or all of the files with ``--channel all``."""
        return self.bank.channels

    def on_channel(self, channel: int) -> ClipSet:
        """The same clips, of which `samples` gives another channel. AsdRayError if the bank does not keep it."""
        if not 0 <= channel < self.channels:
            kept = "1 channel is" if self.channels == 1 else f"{self.channels} channels are"
            raise AsdRayError(
                f"there is no channel {channel}: {kept} kept of these clips, counted from 0; keep every channel of "
                "the recordings with --channel all"
            )
        return ClipSet(self.bank, self.rows, channel)

    @property
    def rate(self) -> int:
        return self.bank.decoding.rate

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return self.bank.lengths[self.rows]

    def samples(self, i: int) -> Samples:
        row = int(self.rows[i])
        return self.bank.samples(row, self.channel) if self.channel else self.bank.samples(row)

    def take(self, positions: npt.ArrayLike) -> ClipSet:
        """The clips at `positions` of this set (indices or a boolean mask)."""
        return ClipSet(self.bank, self.rows[np.asarray(positions)], self.channel)

    @property
    def supplemental(self) -> ClipSet:
        """The supplemental clips of the machines of this set, from the same bank; no clips where there are none.

        They are of all ids, and often have none of the ids of this set. `clips.table.supplemental_kinds` tells clean
        machine sound from noise.
        """
        frame = self.bank.frame
        own = frame["machine"].isin(self.frame["machine"].unique()) & (frame["split"] == SUPPLEMENTAL)
        return self.at_rows(np.flatnonzero(own))

    def at_rows(self, rows: npt.NDArray[np.intp]) -> ClipSet:
        """Other clips of the same bank and channel, by their rows there."""
        return ClipSet(self.bank, rows, self.channel)

    def batches(self, size: int) -> Iterator[tuple[npt.NDArray[np.intp], Samples]]:
        """(positions, int16 array [clips, samples]) of at most `size` clips of equal length.

        Clips are grouped by length and never padded, because padding would change their features.
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
    progress: ProgressCallback | None = None,
    workers: int | None = None,
    skip_broken: bool = False,
) -> Bank:
    """Open the bank of a table (or of a dataset's folder); what is missing of it is decoded first.

    The store of one machine is built by one process of a node at a time; the other processes wait and then open it.
    If clips cannot be read, all others are decoded and stored, and then one UnreadableClips names all of these clips.
    With `skip_broken` they are left out instead; the bank's table has a warning for each.
    """
    if not isinstance(table, ClipTable):
        table = scan(table, cache=cache)
    try:
        return _open(table, rate, channel, cache, progress, workers)
    except UnreadableClips as error:
        if not skip_broken:
            raise
        rest = _without(table, error.problems)
        if set(rest.machines) != set(table.machines):
            raise  # nothing is left of a machine
    return _open(rest, rate, channel, cache, progress, workers)


def _without(table: ClipTable, problems: Sequence[Problem]) -> ClipTable:
    broken = {problem.path for problem in problems}
    usable = [str(table.root / path) not in broken for path in table.frame["path"]]
    return table.with_frame(table.frame[usable].reset_index(drop=True), *map(left_out, problems))


def _open(
    table: ClipTable,
    rate: int,
    channel: int | str,
    cache: str | Path | None,
    progress: ProgressCallback | None,
    workers: int | None,
) -> Bank:
    mirror = Mirror(table.origin, cache) if table.origin is not None else None
    if mirror is not None:  # the mirror of this node; another node may have made the table
        table = dataclasses.replace(table, root=mirror.root)
    decoding = Decoding(rate, as_channel(channel))
    home = cache_root(cache) / "banks" / (table.root.name or "root")
    counter = ClipCounter(len(table), progress)
    stores: dict[str, Store] = {}
    problems: list[Problem] = []
    hashed = table.frame[["machine", "path", "size", "mtime_ns"]].assign(file=file_hashes(table.frame))
    for machine, files in hashed.sort_values("path").groupby("machine"):
        folder = home / f"{machine}-{rate}-{decoding.channel}-{store_key(table.known_as, files, decoding)}"
        store = open_store(folder)
        if store is not None:
            counter.advance(len(files))
        else:
            if mirror is not None:
                counter.total += len(files)  # each of them is fetched and decoded
                mirror.fetch(files_of(files), counter.advance)
            elif not table.root.is_dir():
                raise AsdRayError(_missing_folder(table.root))
            before = counter.done
            try:
                store = build_store(
                    folder,
                    table,
                    str(machine),
                    files,
                    decoding,
                    progress=counter.advance,
                    waiting=lambda: log.warning("%s: another process builds it, waiting", folder),  # noqa: B023
                    workers=threads(workers, len(files)),
                )
            except UnreadableClips as error:
                problems += error.problems
                counter.advance(before + len(files) - counter.done)
                continue
        stores[str(machine)] = store
    if problems:
        raise UnreadableClips(table.root.name, problems)
    return Bank(table, stores, decoding)


def _missing_folder(root: Path) -> str:
    return (
        f"{root} is not on this node ({platform.node()}); every node must see the dataset: mount it there under the "
        "same path, or put it on S3 and name it as s3://bucket/folder"
    )


def _kept_channels(frame: pd.DataFrame) -> int:
    """The number of channels of all clips. AsdRayError if machines differ; those of one machine never do."""
    of_machine = frame.groupby("machine")["channels"].first()
    if of_machine.nunique() > 1:
        numbers = ", ".join(f"{machine} {channels}" for machine, channels in of_machine.items())
        raise AsdRayError(
            f"--channel all: machines have other numbers of channels ({numbers}); name machines with the same number, "
            "or take one channel of all: --channel 0"
        )
    return int(of_machine.iloc[0]) if len(of_machine) else 1


def as_channel(channel: int | str) -> int | str:
    """The channel that ``0``, ``"0"``, ``"mean"`` or ``"all"`` names; AsdRayError for anything else."""
    if channel in (MEAN, ALL) or (isinstance(channel, int) and channel >= 0):
        return channel
    if isinstance(channel, str) and channel.isdecimal():
        return int(channel)
    raise AsdRayError(f"channel must be a number from 0, 'mean' or 'all', but got {channel!r}")
