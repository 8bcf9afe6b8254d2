"""The decoded audio of one machine: an append-only file of samples, its index, and how it survives a kill.

    <cache>/banks/<dataset>/<machine>-<rate>-<channel>-<key>/   samples.i16, records.npy, store.json, boot
    <cache>/banks/<dataset>/.<machine>-<rate>-<channel>-<root>.part/   samples.i16, journal: the build in progress
    <cache>/banks/<dataset>/.<machine>-<rate>-<channel>-<root>.lock    held by the one process that builds

The key is a hash of the dataset's folder (or s3:// address) and of every file's path, size and modification time, so
a changed file makes another store; clips that did not change are taken from the unfinished build or from the store
before. The rename of the finished folder is the commit. Nodes that share one cache must see a dataset on a disk under
the same path.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from asd_ray._json import loads
from asd_ray._shapes import ListOf, Text, Whole, fault, object_of
from asd_ray.clips.audio import Samples, UnreadableClip, read_samples
from asd_ray.clips.resampling import check_rate
from asd_ray.clips.table import ClipTable, Problem
from asd_ray.errors import AsdRayError, listing
from asd_ray.storage.caches import CACHE_CURE
from asd_ray.storage.locks import InUse, locked, remove_unused
from asd_ray.storage.places import check_readable, make_folder, storage_error

VERSION = 1  # of the key
DECODER = 2  # what files become: 1 resampled by torchaudio, 2 does by soxr; clips at the wanted rate stay as they are
CHUNK = 16  # clips a task: one write and one journal entry a chunk; 5 MB of 10 s clips
ROOM = CHUNK * 200_000  # samples of a chunk; clips that do not fit get memory of their own
HEAD = 512  # samples' worth of a wav header that stands before them in the room, and of what may follow them
MOST_JSON = 1 << 30  # bytes: the paths of five million clips
MOST_BOOT = 4096  # bytes
ABOUT = object_of({"decoder": Whole(1)}, root=Text(), rate=Whole(1), bytes=Whole(0, 2**63), paths=ListOf(Text()))
RECORD = np.dtype(
    [("file", "<u8"), ("channels", "<u4"), ("rate", "<u4"), ("frames", "<u8")]  # file: hash of path, size and time
    + [("offset", "<u8"), ("length", "<u8"), ("digest", "V16")]  # in samples, not bytes
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoding:
    """How files become samples; part of the key."""

    rate: int = 16_000
    channel: int | str = 0

    def __post_init__(self) -> None:
        check_rate(self.rate)


class UnreadableClips(AsdRayError):
    """All files of a machine that cannot be decoded, named at once."""

    def __init__(self, machine: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} clips of {machine} cannot be used:\n{listing(problems)}")
        self.problems = list(problems)


class Store:
    """One finished store, open for reading; files are in the order of their paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        about = _about(folder)
        self.known_as: str = about["root"]
        check_readable(folder / "records.npy", MOST_JSON)
        self.records: npt.NDArray[np.void] = np.load(folder / "records.npy")
        self._paths = pd.Index(about["paths"])
        if self.records.dtype != RECORD or len(self.records) != len(self._paths):
            raise ValueError("records.npy does not fit store.json")
        if about.get("decoder", 1) != DECODER and (self.records["rate"] != about["rate"]).any():
            raise ValueError("an earlier version resampled its clips in another way")
        samples = folder / "samples.i16"
        if samples.stat().st_size != about["bytes"]:
            raise ValueError(f"{samples} has {samples.stat().st_size} bytes, not {about['bytes']}")
        self._in_use = InUse(folder / "store.json")
        # As a plain array: a slice of it costs a tenth of a slice of np.memmap, and keeps the map just the same.
        mapped = np.memmap(samples, np.int16, "r") if about["bytes"] else np.zeros(0, np.int16)
        self.samples: Samples = np.asarray(mapped)
        self._survived()

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Another process opens the memory map itself."""
        return Store, (self.folder,)

    def _survived(self) -> None:
        """A build does not wait for the disk. If this machine went down since, look once whether all was written."""
        marker = self.folder / "boot"
        check_readable(marker, MOST_BOOT)
        built, now = marker.read_text().split(), boot()
        if built[0] == now[0] and built != now:
            if self.broken():
                raise ValueError("its samples were lost when this machine went down")
            with contextlib.suppress(OSError):
                marker.write_text(" ".join(now))

    def positions(self, paths: pd.Series) -> npt.NDArray[np.intp]:
        """Where the files of `paths` stand."""
        found: npt.NDArray[np.intp] = self._paths.get_indexer(pd.Index(paths))
        return found

    def clip(self, position: int) -> Samples:
        start = int(self.records["offset"][position])
        return self.samples[start : start + int(self.records["length"][position])]

    def broken(self) -> list[int]:
        """Positions whose samples no longer have the digest they were stored with."""
        return [i for i in range(len(self.records)) if digest(self.clip(i)) != self.records["digest"][i].tobytes()]


def _about(folder: Path) -> dict[str, Any]:
    """What a store's description says, whatever version wrote it."""
    path = folder / "store.json"
    check_readable(path, MOST_JSON)
    about: dict[str, Any] = loads(path.read_bytes(), path.name, most_bytes=MOST_JSON, keep_surrogates=True)
    if problem := fault(ABOUT, about, path.name):
        raise ValueError(problem)
    return about


def boot() -> list[str]:
    """This node, and its time since power-on."""
    try:
        return [platform.node() or "?", Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
    except OSError:
        return [platform.node() or "?", "unknown"]


def digest(samples: Samples) -> bytes:
    return xxhash.xxh3_128_digest(samples.data)


def file_hashes(files: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """What tells that a file is still the one that was decoded; paths are relative to the root."""
    lines = map("{}\t{}\t{}".format, files["path"], files["size"], files["mtime_ns"])
    return np.fromiter((xxhash.xxh3_64_intdigest(line.encode()) for line in lines), np.uint64, len(files))


def store_key(known_as: str, files: pd.DataFrame, decoding: Decoding) -> str:
    """What the store is of. The folder is part of it: two datasets may have files of equal names, sizes and times."""
    about = f"{VERSION} {decoding.rate} {decoding.channel} {known_as}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(about + files["file"].to_numpy().tobytes(), digest_size=8).hexdigest()


def open_store(folder: Path) -> Store | None:
    """The finished store in `folder`; None where there is none, or where it cannot be used (which is logged)."""
    if not folder.is_dir():
        return None
    try:
        return Store(folder)
    except (OSError, EOFError, ValueError, TypeError, LookupError, AsdRayError) as error:
        log.warning("%s: cannot be used (%s); its clips are decoded again", folder, error)
        return None


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
    """Build `folder`, or wait for the process that builds it now; `progress` is told how many clips were added.

    `files` has the columns path and file (of `file_hashes`), sorted by path.
    """
    make_folder(folder.parent, "the bank", CACHE_CURE)
    part = _part(folder, table.known_as, DECODER)
    try:
        with locked(part.with_suffix(".lock"), waiting):
            done = open_store(folder)
            if done is None:
                shutil.rmtree(folder, ignore_errors=True)
                part.mkdir(exist_ok=True)
                _Build(part, folder, table, files, decoding, progress, workers).run(machine)
                os.rename(part, folder)
                done = Store(folder)
            else:
                progress(len(files))
    except OSError as error:
        raise storage_error(error, folder.parent, "the bank", CACHE_CURE) from error
    _remove_superseded(folder, table.known_as)
    return done


def _family(folder: Path) -> str:
    """The name without the key: stores of the same machine, rate and channel."""
    return folder.name.rpartition("-")[0]


def _part(folder: Path, known_as: str, decoder: int) -> Path:
    """The build in progress, of this version or (as `decoder` says) of an earlier one."""
    same_root = hashlib.blake2b(f"{decoder} {known_as}".encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return folder.with_name(f".{_family(folder)}-{same_root}.part")


def _others(folder: Path, known_as: str) -> list[Path]:
    """Stores of the same machine in other states of the same dataset's folder, also those that cannot be used."""
    found = []
    for other in folder.parent.glob(f"{_family(folder)}-*"):
        with contextlib.suppress(OSError, ValueError, AsdRayError):
            if other != folder and _about(other)["root"] == known_as:
                found.append(other)
    return found


def _older(folder: Path, known_as: str) -> list[Store]:
    """Those that can be used."""
    return [store for other in _others(folder, known_as) if (store := open_store(other)) is not None]


def _remove_superseded(folder: Path, known_as: str) -> None:
    """Unless another process uses them: stores of other states, and what builds of earlier versions left unfinished."""
    for other in _others(folder, known_as):
        remove_unused(other, other / "store.json")
    for decoder in range(1, DECODER):
        part = _part(folder, known_as, decoder)
        remove_unused(part, part.with_suffix(".lock"))


class _Build:
    """The build in progress: decodes in threads (reading and decoding run outside the interpreter's lock)."""

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
        self.written = 0  # bytes in the journal
        self.lock = threading.Lock()
        self.mine = threading.local()
        self.problems: list[Problem] = []

    def run(self, machine: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.samples = os.open(self.part / "samples.i16", flags, 0o666)
        self.journal = os.open(self.part / "journal", flags, 0o666)
        try:
            self._resume()
            self._copy_unchanged()
            self._decode_missing()
            if self.problems:
                raise UnreadableClips(machine, sorted(self.problems, key=lambda p: p.path))
            os.ftruncate(self.samples, self.end * 2)
        finally:
            os.close(self.samples)
            os.close(self.journal)
        self._finish()

    def _resume(self) -> None:
        """Take over what an earlier build wrote down before it was killed, or stopped at a clip that was broken,
        as far as the samples are really there. Samples of files that changed since stay in the file, unused."""
        written = np.fromfile(self.part / "journal", RECORD)  # a torn last record is not read
        os.ftruncate(self.journal, written.nbytes)
        self.written = written.nbytes
        there = os.fstat(self.samples).st_size // 2
        ends = written["offset"].astype(np.float64) + written["length"]
        written = written[ends <= there]  # a machine that lost power may leave a journal of anything
        at = {int(file): i for i, file in enumerate(self.records["file"])}
        for record in written:
            start, length, i = int(record["offset"]), int(record["length"]), at.get(int(record["file"]))
            self.end = max(self.end, start + length)
            if i is None:
                continue
            kept = os.pread(self.samples, 2 * length, 2 * start)
            if xxhash.xxh3_128_digest(kept) == record["digest"].tobytes():
                self.records[i] = record
                self.have[i] = True
        self.progress(int(self.have.sum()))

    def _copy_unchanged(self) -> None:
        """Clips that an older store of this folder already holds are copied, not decoded again."""
        for store in _older(self.folder, self.table.known_as):
            wanted = {int(self.records["file"][i]): i for i in np.flatnonzero(~self.have).tolist()}
            old = [n for n, file in enumerate(store.records["file"].tolist()) if file in wanted]
            for start in range(0, len(old), CHUNK):
                chunk = old[start : start + CHUNK]
                records = store.records[chunk].copy()
                new = [wanted[file] for file in records["file"].tolist()]
                self._append(new, [np.array(store.clip(n)) for n in chunk], records)

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
        at: list[int] = []
        decoded: list[Samples] = []
        told: list[tuple[int, int, int]] = []
        root, room, rate, channel = str(self.table.root), self._room(), self.decoding.rate, self.decoding.channel
        for i in chunk.tolist():
            try:
                samples, header = read_samples(f"{root}/{self.paths[i]}", rate=rate, channel=channel, room=room)
            except UnreadableClip as problem:
                with self.lock:
                    path = f"{self.table.place}/{self.paths[i]}"
                    self.problems.append(Problem("error", path, problem.rule, problem.cure))
                continue
            at.append(i)
            decoded.append(samples)
            told.append((header.channels, header.rate, header.frames))
            room = room[len(samples) + HEAD :]  # this clip may lie in there, so the next must not overwrite it
        records = np.zeros(len(at), RECORD)
        records["file"] = self.records["file"][at]
        if told:
            records["channels"], records["rate"], records["frames"] = np.array(told, np.uint64).T
        records["digest"] = np.array([digest(samples) for samples in decoded], "V16")
        self._append(at, decoded, records)

    def _room(self) -> Samples:
        """This thread's memory for one chunk of decoded clips; used again for the next."""
        if not hasattr(self.mine, "room"):
            self.mine.room = np.empty(ROOM, np.int16)
        room: Samples = self.mine.room
        return room

    def _append(self, at: list[int], clips: list[Samples], records: npt.NDArray[np.void]) -> None:
        """Samples first, then the journal: what the journal names is in the file."""
        if not at:
            return
        lengths = np.array([len(samples) for samples in clips], np.uint64)
        with self.lock:
            start = self.end
            self.end += int(lengths.sum())
        records["length"], records["offset"] = lengths, start + np.cumsum(lengths) - lengths
        write_all(self.samples, clips, 2 * start)
        with self.lock:
            write_all(self.journal, [records.view(np.int16)], self.written)
            self.written += records.nbytes
        with self.lock:
            self.records[at] = records
            self.have[at] = True
            self.progress(len(at))

    def _finish(self) -> None:
        np.save(self.part / "records.npy", self.records)
        about = {"version": VERSION, "root": self.table.known_as, "rate": self.decoding.rate, "bytes": 2 * self.end}
        about |= {"decoder": DECODER, "paths": self.paths}
        (self.part / "store.json").write_text(json.dumps(about))
        (self.part / "boot").write_text(" ".join(boot()))
        (self.part / "journal").unlink()


def write_all(descriptor: int, buffers: Sequence[Samples], at: int) -> None:
    """pwritev until all is written: a nearly full disk writes a part and only then says so."""
    views = [memoryview(np.ascontiguousarray(b).view(np.uint8)) for b in buffers if len(b)]  # type: ignore[arg-type]
    while views:
        wrote = os.pwritev(descriptor, views[:1024], at)
        at += wrote
        while views and wrote >= len(views[0]):
            wrote -= len(views.pop(0))
        if wrote:
            views[0] = views[0][wrote:]
