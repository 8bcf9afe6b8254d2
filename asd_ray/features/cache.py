"""The node's cache of features: one file per front end and machine, named by what determines its content.

    <cache>/features/<key>.feat    4 KiB blocks: a JSON header, then the frames of all clips, memory-mapped by readers
    <cache>/features/.lock-<n>     held while the entries of one stripe are written

An entry is written to a temporary file and renamed, so readers never see half a file. Its digest is checked at the
first use in a process, and a broken entry is computed again. Reading an entry updates its time; above the cap the
oldest entries are removed. A reader keeps its memory map when the file is removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash

from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError
from asd_ray.features._base import FrontEnd
from asd_ray.features.extract import Array, Features, extract, extract_into, frame_counts, numpy_dtype
from asd_ray.features.raw import Raw
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.caches import CACHE_CURE, cache_root
from asd_ray.storage.locks import locked
from asd_ray.storage.places import make_folder

log = logging.getLogger(__name__)
MAGIC = b"asdfeat1"
BLOCK = 4096
LARGEST_HEADER = 1 << 27  # bytes: about ten million clips
STRIPES = 64  # number of lock files; entries of one stripe are written one after another
CAP_VARIABLE = "ASD_RAY_FEATURES_GIB"
CAP_GIB = 32.0
MAX_GIB = 1e6


@dataclass(frozen=True)
class _Entry:
    """The frames of a machine's distinct clips, and where each clip starts."""

    frames: Array
    start: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


class FeatureCache:
    """Features by content: equal audio and equal front end share an entry across runs."""

    def __init__(self, cache: str | Path | None = None, *, cap_gib: float | None = None) -> None:
        self.root = cache_root(cache)
        self.folder = self.root / "features"
        self.cap = int(_cap(cap_gib) * 2**30)
        self._verified: dict[Path, int] = {}  # entries whose digest this object has checked, and their inode

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        """Features of `clips`. An entry has every clip of a machine, so splits and subsets share it.

        The raw wave is not stored, because the bank is already its memory map. Nor are features of sounds in memory,
        which have no digest.
        """
        frame = clips.frame
        if front_end.KIND == Raw.KIND or len(clips) == 0 or "digest" not in frame:
            return extract(front_end, clips, device=device, dtype=dtype)
        machines = list(dict.fromkeys(frame["machine"]))
        parts, part = [], np.zeros(len(clips), np.int64)
        start, lengths = np.zeros(len(clips), np.int64), np.zeros(len(clips), np.int64)
        for n, machine in enumerate(machines):
            of_machine = np.flatnonzero((clips.bank.frame["machine"] == machine).to_numpy())
            all_clips = ClipSet(clips.bank, of_machine, clips.channel)
            digests, first = np.unique(all_clips.frame["digest"].to_numpy(str), return_index=True)
            entry = self._entry(front_end, all_clips.take(first), digests.tolist(), device, dtype)
            parts.append(entry.frames)
            own = np.flatnonzero((frame["machine"] == machine).to_numpy())
            entry_positions = np.searchsorted(digests, frame["digest"].to_numpy(str)[own])
            part[own], start[own], lengths[own] = n, entry.start[entry_positions], entry.lengths[entry_positions]
        return Features(parts, part, start, lengths)

    def _entry(
        self, front_end: FrontEnd, clips: ClipSet, digests: list[str], device: torch.device | str, dtype: str
    ) -> _Entry:
        """The entry from the cache, or computed and stored."""
        key = _key(front_end, digests, dtype)
        path = self.folder / f"{key}.feat"
        lengths = frame_counts(front_end, clips)
        entry = self._read(path, front_end, lengths, dtype)
        if entry is None:
            return self._make(path, front_end, clips, lengths, device, dtype)
        _touch(path)
        return entry

    def _make(
        self,
        path: Path,
        front_end: FrontEnd,
        clips: ClipSet,
        lengths: npt.NDArray[np.int64],
        device: torch.device | str,
        dtype: str,
    ) -> _Entry:
        """Compute and store. If storing is impossible, log a warning and compute into memory."""
        size = int(lengths.sum()) * int(np.prod(front_end.shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size > self.cap:
            log.warning("%s needs %.1f GiB, more than the cap of the cache; not cached", path.name, size / 2**30)
            return self._in_memory(front_end, clips, device, dtype)
        try:
            make_folder(self.folder, "features", CACHE_CURE)
            with locked(self.folder / f".lock-{_stripe(path.name)}"):
                entry = self._read(path, front_end, lengths, dtype)  # another process may have written it meanwhile
                if entry is None:
                    self._remove_leftovers(path)
                    self._evict(size)
                    self._write(path, front_end, clips, lengths, device, dtype)
                    self._evict(0)  # other processes may have written at the same time
                    entry = self._read(path, front_end, lengths, dtype)
        except (OSError, AsdRayError) as error:
            if isinstance(error, AsdRayError) and not isinstance(error.__cause__, OSError):
                raise
            log.warning("%s: features are not cached (%s)", self.folder, error)
            entry = None
        return entry or self._in_memory(front_end, clips, device, dtype)

    @staticmethod
    def _in_memory(front_end: FrontEnd, clips: ClipSet, device: torch.device | str, dtype: str) -> _Entry:
        features = extract(front_end, clips, device=device, dtype=dtype)
        return _Entry(features._parts[0], features._start, features.lengths)

    def _write(
        self,
        path: Path,
        front_end: FrontEnd,
        clips: ClipSet,
        lengths: npt.NDArray[np.int64],
        device: torch.device | str,
        dtype: str,
    ) -> None:
        shape = (int(lengths.sum()), *front_end.shape)
        header: dict[str, Any] = {
            "front_end": front_end.to_dict(),
            "dtype": dtype,
            "shape": shape,
            "lengths": lengths.tolist(),
            "digest": "0" * 32,
        }
        offset = len(_header_bytes(header))
        content_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        with written_aside(path) as temporary:
            with open(temporary, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, offset + content_bytes)  # a full disk is an error here, not later
            frames = np.memmap(temporary, numpy_dtype(dtype), "r+", offset, shape)
            extract_into(frames, front_end, clips, device=device)
            header["digest"] = _digest(frames)
            del frames  # not flushed: after a kill the kernel writes it, and after a power cut the digest is wrong
            with open(temporary, "r+b") as file:
                file.write(_header_bytes(header))

    def _read(self, path: Path, front_end: FrontEnd, lengths: npt.NDArray[np.int64], dtype: str) -> _Entry | None:
        """The entry with its digest checked; None if there is none or it is not exactly the requested one.

        The file is not trusted: its header and its size must be those of an entry with these lengths, so a forged file
        takes no more memory than a valid one.
        """
        shape = (int(lengths.sum()), *front_end.shape)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO would block forever
                raise ValueError("not a file")
            with open(path, "rb") as file:
                magic, length, status = file.read(8), int.from_bytes(file.read(8), "little"), os.fstat(file.fileno())
                offset = _padded(16 + length)
                content = math.prod(shape) * np.dtype(dtype).itemsize
                if magic != MAGIC or length > LARGEST_HEADER or status.st_size != offset + content:
                    raise ValueError("not a file of these features")
                header = json.loads(file.read(length))
            if (header["dtype"], header["shape"], header["lengths"]) != (dtype, [*shape], lengths.tolist()):
                raise ValueError("its header is of other features")
            frames: Array = np.memmap(path, numpy_dtype(dtype), "r", offset, shape)
            if self._verified.get(path) != status.st_ino and _digest(frames) != header["digest"]:
                raise ValueError("its digest is wrong")
            self._verified[path] = status.st_ino
        except FileNotFoundError:
            return None
        except Exception as error:  # a broken file can cause any error, also RecursionError and MemoryError
            log.warning("%s: broken (%s: %s); it is computed again", path, type(error).__name__, error)
            return None
        return _Entry(frames, np.cumsum(lengths) - lengths, lengths)

    def _remove_leftovers(self, path: Path) -> None:
        """Remove temporary files of killed writers of this stripe; while we hold its lock, nobody else writes."""
        for file in self.folder.glob(".*.tmp"):
            if _stripe(file.name[1:]) == _stripe(path.name):
                file.unlink(missing_ok=True)

    def _evict(self, room: int) -> None:
        """Remove the least recently used entries until `room` more bytes fit below the cap."""
        with locked(self.folder / ".lock-evict"):
            entries = []
            for file in self.folder.glob("*.feat"):
                try:
                    status = file.stat()
                    if stat.S_ISREG(status.st_mode):
                        entries.append((status.st_mtime_ns, status.st_size, file))
                except FileNotFoundError:
                    continue
            total = sum(size for _, size, _ in entries)
            for _, size, file in sorted(entries):
                if total + room <= self.cap:
                    break
                file.unlink(missing_ok=True)
                total -= size


def _key(front_end: FrontEnd, digests: list[str], dtype: str) -> str:
    numpy_dtype(dtype)
    text = "\n".join([front_end.hash, dtype, *digests])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _stripe(name: str) -> int:
    """The number of the lock for the entry with that name; -1 for a file that is not an entry."""
    try:
        return int(name[:8], 16) % STRIPES
    except ValueError:
        return -1


def _cap(gib: float | None) -> float:
    text = os.environ.get(CAP_VARIABLE) if gib is None else None
    if text:
        try:
            gib = float(text)
        except ValueError:
            raise AsdRayError(
                f"${CAP_VARIABLE} must be a number of GiB, such as 32, but is {text!r}; change it, or unset it"
            ) from None
    if gib is not None and not 0 <= gib < MAX_GIB:
        source = f"${CAP_VARIABLE}" if text else "the cap of the feature cache"
        raise AsdRayError(f"{source} must be GiB from 0, such as 32, but is {gib:g}")
    return CAP_GIB if gib is None else gib


def _header_bytes(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return (MAGIC + len(text).to_bytes(8, "little") + text).ljust(_padded(16 + len(text)), b"\0")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _digest(frames: Array) -> str:
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(frames).reshape(-1).view(np.uint8).data)


def _touch(path: Path) -> None:
    """Mark the entry as recently used."""
    try:
        os.utime(path)
    except OSError:  # a read-only cache, or an entry just removed: its memory map stays valid
        return
