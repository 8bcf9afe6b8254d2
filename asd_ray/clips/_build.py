"""Build the store of one machine, so that a build that was killed or stopped by a broken clip is continued.

Samples are appended to samples.i16 first and then named in the journal, so the journal names only samples that were
written. _store.py describes the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from asd_ray.clips._store import (
    DECODER,
    RECORD,
    VERSION,
    Decoding,
    Store,
    UnreadableClips,
    boot,
    digest,
    open_store,
    read_description,
)
from asd_ray.clips.audio import ALL, Samples, UnreadableClip, read_samples
from asd_ray.clips.decoding_notes import other_channels
from asd_ray.clips.table import ClipTable, Problem
from asd_ray.errors import AsdRayError
from asd_ray.storage.caches import CACHE_CURE
from asd_ray.storage.locks import locked, remove_unused
from asd_ray.storage.places import make_folder, storage_error

CHUNK = 16  # clips per task, with one write and one journal entry; 5 MB for clips of 10 s
BUFFER = CHUNK * 200_000  # samples per chunk; clips that do not fit get new memory
HEAD = 512  # samples: space for the wav header before a clip's samples, and for what may follow them


def build_store(
    folder: Path,
    table: ClipTable,
    machine: str,
    files: pd.DataFrame,
    decoding: Decoding,
    *,
    progress: Callable[[int], None],
    waiting: Callable[[], None],
    workers: int,
) -> Store:
    """Build `folder`, or wait for another process that is building it.

    `files` has the columns path and file (from `file_hashes`), sorted by path. `progress` is called with the number of
    clips that were added, `waiting` once if another process builds.
    """
    make_folder(folder.parent, "the bank", CACHE_CURE)
    part = _part(folder, table.known_as, DECODER)
    try:
        with locked(part.with_suffix(".lock"), waiting):
            store = open_store(folder)
            if store is None:
                shutil.rmtree(folder, ignore_errors=True)
                part.mkdir(exist_ok=True)
                _Build(part, folder, table, files, decoding, progress, workers).run(machine)
                os.rename(part, folder)
                store = Store(folder)
            else:
                progress(len(files))
    except OSError as error:
        raise storage_error(error, folder.parent, "the bank", CACHE_CURE) from error
    _remove_superseded(folder, table.known_as)
    return store


def _name_without_key(folder: Path) -> str:
    """The part of the name that all stores of the same machine, rate and channel share."""
    return folder.name.rpartition("-")[0]


def _part(folder: Path, known_as: str, decoder: int) -> Path:
    """The folder of a build in progress, by the version of the decoding that `decoder` names."""
    same_root = hashlib.blake2b(f"{decoder} {known_as}".encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return folder.with_name(f".{_name_without_key(folder)}-{same_root}.part")


def _earlier_folders(folder: Path, known_as: str) -> list[Path]:
    """Stores of the same machine and dataset, made before a file changed; also those that cannot be used."""
    folders = []
    for other in folder.parent.glob(f"{_name_without_key(folder)}-*"):
        with contextlib.suppress(OSError, ValueError, AsdRayError):
            if other != folder and read_description(other)["root"] == known_as:
                folders.append(other)
    return folders


def _earlier_stores(folder: Path, known_as: str) -> list[Store]:
    """The stores of `_earlier_folders` that can be used."""
    return [store for other in _earlier_folders(folder, known_as) if (store := open_store(other)) is not None]


def _remove_superseded(folder: Path, known_as: str) -> None:
    """Remove earlier stores, and unfinished builds of earlier versions, unless another process uses them."""
    for other in _earlier_folders(folder, known_as):
        remove_unused(other, other / "store.json")
    for decoder in range(1, DECODER):
        part = _part(folder, known_as, decoder)
        remove_unused(part, part.with_suffix(".lock"))


class _Build:
    """One build. It decodes in threads, because reading and decoding release the interpreter lock."""

    def __init__(
        self,
        part: Path,
        folder: Path,
        table: ClipTable,
        files: pd.DataFrame,
        decoding: Decoding,
        progress: Callable[[int], None],
        workers: int,
    ) -> None:
        self.part, self.folder, self.table = part, folder, table
        self.decoding, self.progress, self.workers = decoding, progress, workers
        self.paths = files["path"].tolist()
        self.records = np.zeros(len(files), RECORD)
        self.records["file"] = files["file"]
        self.have = np.zeros(len(files), bool)
        self.end = 0  # samples in the file so far
        self.journal_bytes = 0
        self.lock = threading.Lock()
        self.thread = threading.local()
        self.problems: list[Problem] = []

    def run(self, machine: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.samples = os.open(self.part / "samples.i16", flags, 0o666)
        self.journal = os.open(self.part / "journal", flags, 0o666)
        try:
            self._resume()
            self._copy_unchanged()
            self._decode_missing()
            self._compare_channels()
            if self.problems:
                raise UnreadableClips(machine, sorted(self.problems, key=lambda p: p.path))
            os.ftruncate(self.samples, self.end * 2)
        finally:
            os.close(self.samples)
            os.close(self.journal)
        self._finish()

    def _resume(self) -> None:
        """Use the clips that an earlier build wrote before it was killed or stopped at a broken clip.

        Each one is checked by its digest. Samples of files that changed since then stay in the file, unused.
        """
        journal = np.fromfile(self.part / "journal", RECORD)  # a torn last record is not read
        os.ftruncate(self.journal, journal.nbytes)
        self.journal_bytes = journal.nbytes
        file_end = os.fstat(self.samples).st_size // 2
        ends = journal["offset"].astype(np.float64) + journal["length"]
        journal = journal[ends <= file_end]  # after a loss of power, the journal may contain anything
        positions = {int(file): i for i, file in enumerate(self.records["file"])}
        for record in journal:
            start, length, i = int(record["offset"]), int(record["length"]), positions.get(int(record["file"]))
            self.end = max(self.end, start + length)
            if i is None:
                continue
            stored = os.pread(self.samples, 2 * length, 2 * start)
            if xxhash.xxh3_128_digest(stored) == record["digest"].tobytes():
                self.records[i] = record
                self.have[i] = True
        self.progress(int(self.have.sum()))

    def _copy_unchanged(self) -> None:
        """Copy the clips that an earlier store of this dataset already holds, instead of decoding them again."""
        for store in _earlier_stores(self.folder, self.table.known_as):
            missing = {int(self.records["file"][i]): i for i in np.flatnonzero(~self.have).tolist()}
            unchanged = [n for n, file in enumerate(store.records["file"].tolist()) if file in missing]
            for start in range(0, len(unchanged), CHUNK):
                chunk = unchanged[start : start + CHUNK]
                records = store.records[chunk].copy()
                positions = [missing[file] for file in records["file"].tolist()]
                self._append(positions, [np.array(store.clip(n)) for n in chunk], records)

    def _decode_missing(self) -> None:
        missing = np.flatnonzero(~self.have)
        chunks = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
        with ThreadPoolExecutor(self.workers, "asd_ray-decode") as pool:
            try:
                for _ in pool.map(self._decode_chunk, chunks):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _decode_chunk(self, chunk: npt.NDArray[np.intp]) -> None:
        positions: list[int] = []
        decoded: list[Samples] = []
        headers: list[tuple[int, int, int]] = []
        root, buffer, rate, channel = str(self.table.root), self._buffer(), self.decoding.rate, self.decoding.channel
        for i in chunk.tolist():
            try:
                samples, header = read_samples(f"{root}/{self.paths[i]}", rate=rate, channel=channel, buffer=buffer)
            except UnreadableClip as problem:
                with self.lock:
                    path = f"{self.table.place}/{self.paths[i]}"
                    self.problems.append(Problem("error", path, problem.rule, problem.cure))
                continue
            samples = samples.reshape(-1)  # one channel after another
            positions.append(i)
            decoded.append(samples)
            headers.append((header.channels, header.rate, header.frames))
            buffer = buffer[len(samples) + HEAD :]  # `samples` may be a view of its start
        records = np.zeros(len(positions), RECORD)
        records["file"] = self.records["file"][positions]
        if headers:
            records["channels"], records["rate"], records["frames"] = np.array(headers, np.uint64).T
        records["digest"] = np.array([digest(samples) for samples in decoded], "V16")
        self._append(positions, decoded, records)

    def _compare_channels(self) -> None:
        """With ALL, add a problem for each clip that has not as many channels as most clips of the machine."""
        if self.decoding.channel == ALL:
            have = np.flatnonzero(self.have)
            paths = [f"{self.table.place}/{self.paths[i]}" for i in have.tolist()]
            self.problems += other_channels(paths, self.records["channels"][have])

    def _buffer(self) -> Samples:
        """This thread's memory for one chunk of decoded clips; the next chunk uses it again."""
        if not hasattr(self.thread, "buffer"):
            self.thread.buffer = np.empty(BUFFER, np.int16)
        buffer: Samples = self.thread.buffer
        return buffer

    def _append(self, positions: list[int], clips: list[Samples], records: npt.NDArray[np.void]) -> None:
        """Write the samples, then the journal, so that the journal names only samples that were written."""
        if not positions:
            return
        lengths = np.array([len(samples) for samples in clips], np.uint64)
        with self.lock:
            start = self.end
            self.end += int(lengths.sum())
        records["length"], records["offset"] = lengths, start + np.cumsum(lengths) - lengths
        write_all(self.samples, clips, 2 * start)
        with self.lock:
            write_all(self.journal, [records.view(np.int16)], self.journal_bytes)
            self.journal_bytes += records.nbytes
        with self.lock:
            self.records[positions] = records
            self.have[positions] = True
            self.progress(len(positions))

    def _finish(self) -> None:
        np.save(self.part / "records.npy", self.records)
        description = {"version": VERSION, "root": self.table.known_as, "rate": self.decoding.rate}
        description |= {"bytes": 2 * self.end, "decoder": DECODER, "paths": self.paths}
        (self.part / "store.json").write_text(json.dumps(description))
        (self.part / "boot").write_text(" ".join(boot()))
        (self.part / "journal").unlink()


def write_all(descriptor: int, buffers: Sequence[Samples], offset: int) -> None:
    """Call pwritev until everything is written: on a nearly full disk the first call writes only a part."""
    views = [memoryview(np.ascontiguousarray(b).view(np.uint8)) for b in buffers if len(b)]  # type: ignore[arg-type]
    while views:
        count = os.pwritev(descriptor, views[:1024], offset)
        offset += count
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if count:
            views[0] = views[0][count:]
