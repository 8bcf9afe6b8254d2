"""The node cache of features: one file a (front end, machine), named by what determines its content.

    <cache>/features/<key>.feat    4 KiB blocks: a JSON header, then the frames of all clips, memory-mapped by readers
    <cache>/features/.lock-<n>     held while the entries of one stripe are written

An entry is written aside and renamed, so readers see whole files; its digest is checked on first use in a process,
and a broken entry is computed again. Reading an entry makes it young; over the cap the oldest go. A reader keeps
its memory map when the file is removed under it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xxhash

from asd_ray._files import cache_root, locked, make_folder
from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError
from asd_ray.features._base import FrontEnd
from asd_ray.features.extract import Array, Features, extract, extract_into, frame_counts, numpy_dtype
from asd_ray.features.raw import Raw

log = logging.getLogger(__name__)
MAGIC = b"asdfeat1"
BLOCK = 4096
STRIPES = 64  # lock files in all; entries of one stripe are written one after another
CAP_VARIABLE = "ASD_RAY_FEATURES_GIB"
CAP_GIB = 32.0


@dataclass(frozen=True)
class _Entry:
    frames: Array
    start: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


class FeatureCache:
    """Features by content: equal audio and equal front end share an entry, whoever asks from whatever run."""

    def __init__(self, cache: str | Path | None = None, *, cap_gib: float | None = None) -> None:
        self.folder = cache_root(cache) / "features"
        self.cap = int(_cap(cap_gib) * 2**30)
        self._verified: dict[Path, int] = {}  # entries whose digest this object has checked, and their inode

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        """Features of `clips`; an entry holds every clip of a machine, so splits and subsets share it.

        The raw wave is not stored: the bank already is its memory map.
        """
        if front_end.KIND == Raw.KIND or len(clips) == 0:
            return extract(front_end, clips, device=device, dtype=dtype)
        frame = clips.frame
        machines = list(dict.fromkeys(frame["machine"]))
        parts, part = [], np.zeros(len(clips), np.int64)
        start, lengths = np.zeros(len(clips), np.int64), np.zeros(len(clips), np.int64)
        for n, machine in enumerate(machines):
            whole = clips.bank.select(machine)
            different, first = np.unique(whole.frame["digest"].to_numpy(str), return_index=True)
            entry = self._entry(front_end, whole.take(first), different.tolist(), device, dtype)
            parts.append(entry.frames)
            mine = np.flatnonzero((frame["machine"] == machine).to_numpy())
            at = np.searchsorted(different, frame["digest"].to_numpy(str)[mine])
            part[mine], start[mine], lengths[mine] = n, entry.start[at], entry.lengths[at]
        return Features(parts, part, start, lengths)

    def _entry(
        self, front_end: FrontEnd, clips: ClipSet, digests: list[str], device: torch.device | str, dtype: str
    ) -> _Entry:
        key = _key(front_end, digests, dtype)
        path = self.folder / f"{key}.feat"
        entry = self._read(path)
        if entry is None:
            return self._make(path, front_end, clips, device, dtype)
        _touch(path)
        return entry

    def _make(self, path: Path, front_end: FrontEnd, clips: ClipSet, device: torch.device | str, dtype: str) -> _Entry:
        """Compute and store; where storing is impossible the features are computed into memory, and it is said."""
        lengths = frame_counts(front_end, clips)
        size = int(lengths.sum()) * int(np.prod(front_end.shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size > self.cap:
            log.warning("%s needs %.1f GiB, more than the cap of the cache; not cached", path.name, size / 2**30)
            return self._in_memory(front_end, clips, device, dtype)
        try:
            make_folder(self.folder, "features")
            with locked(self.folder / f".lock-{_stripe(path.name)}"):
                entry = self._read(path)  # somebody else may have written it while we waited
                if entry is None:
                    self._remove_leftovers(path)
                    self._evict(size)
                    self._write(path, front_end, clips, lengths, device, dtype)
                    self._evict(0)  # others may have written at the same time
                    entry = self._read(path)
        except (OSError, AsdRayError) as error:
            if isinstance(error, AsdRayError) and not isinstance(error.__cause__, OSError):
                raise
            log.warning("%s: features are not cached (%s)", self.folder, error)
            entry = None
        return entry or self._in_memory(front_end, clips, device, dtype)

    @staticmethod
    def _in_memory(front_end: FrontEnd, clips: ClipSet, device: torch.device | str, dtype: str) -> _Entry:
        made = extract(front_end, clips, device=device, dtype=dtype)
        return _Entry(made._parts[0], made._start, made.lengths)

    def _write(
        self,
        path: Path,
        front_end: FrontEnd,
        clips: ClipSet,
        lengths: npt.NDArray[np.int64],
        device: torch.device | str,
        dtype: str,
    ) -> None:
        aside = path.with_name(f".{path.stem}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
        shape = (int(lengths.sum()), *front_end.shape)
        header: dict[str, Any] = {
            "front_end": front_end.to_dict(),
            "dtype": dtype,
            "shape": shape,
            "lengths": lengths.tolist(),
            "digest": "0" * 32,
        }
        offset = len(_header_bytes(header))
        bytes_wanted = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        try:
            with open(aside, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, offset + bytes_wanted)  # a full disk is found now, as an error
            frames = np.memmap(aside, numpy_dtype(dtype), "r+", offset, shape)
            extract_into(frames, front_end, clips, device=device)
            header["digest"] = _digest(frames)
            del frames  # not flushed: a kill leaves it to the kernel, and after a power cut the digest is wrong
            with open(aside, "r+b") as file:
                file.write(_header_bytes(header))
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)

    def _read(self, path: Path) -> _Entry | None:
        """The entry, its digest checked; None where there is none or it is broken."""
        try:
            with open(path, "rb") as file:
                magic, length = file.read(8), int.from_bytes(file.read(8), "little")
                if magic != MAGIC or not 0 < length < 2**30:
                    raise ValueError("not a file of features")
                header, inode = json.loads(file.read(length)), os.fstat(file.fileno()).st_ino
            shape, lengths = tuple(header["shape"]), np.array(header["lengths"], np.int64)
            frames: Array = np.memmap(path, numpy_dtype(header["dtype"]), "r", _padded(16 + length), shape)
            known = self._verified.get(path) == inode
            if lengths.sum() != shape[0] or not (known or _digest(frames) == header["digest"]):
                raise ValueError("its digest is wrong")
            self._verified[path] = inode
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: broken (%s), it is computed again", path, error)
            return None
        return _Entry(frames, np.cumsum(lengths) - lengths, lengths)

    def _remove_leftovers(self, path: Path) -> None:
        """What killed writers of this stripe left; nobody else writes there while we hold its lock."""
        for file in self.folder.glob(".*.tmp"):
            if _stripe(file.name[1:]) == _stripe(path.name):
                file.unlink(missing_ok=True)

    def _evict(self, room: int) -> None:
        """Remove the least recently used entries until `room` more bytes stay below the cap."""
        with locked(self.folder / ".lock-evict"):
            found = []
            for file in self.folder.glob("*.feat"):
                try:
                    status = file.stat()
                    found.append((status.st_mtime_ns, status.st_size, file))
                except FileNotFoundError:
                    continue
            total = sum(size for _, size, _ in found)
            for _, size, file in sorted(found):
                if total + room <= self.cap:
                    break
                file.unlink(missing_ok=True)
                total -= size


def _key(front_end: FrontEnd, digests: list[str], dtype: str) -> str:
    numpy_dtype(dtype)
    text = "\n".join([front_end.hash, dtype, *digests])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _stripe(name: str) -> int:
    """Which lock guards the entry of that name."""
    return int(name[:8], 16) % STRIPES


def _cap(gib: float | None) -> float:
    text = os.environ.get(CAP_VARIABLE)
    if gib is None and text is not None:
        try:
            gib = float(text)
        except ValueError:
            raise AsdRayError(f"${CAP_VARIABLE} must be a number of GiB but is {text!r}") from None
    if gib is not None and gib < 0:
        raise AsdRayError(f"the cap of the feature cache cannot be negative but got {gib} GiB")
    return CAP_GIB if gib is None else gib


def _header_bytes(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return (MAGIC + len(text).to_bytes(8, "little") + text).ljust(_padded(16 + len(text)), b"\0")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _digest(frames: Array) -> str:
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(frames).reshape(-1).view(np.uint8).data)


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # a read-only cache, or an entry just evicted: its memory map stays good
        return
