"""The decoded audio of one machine: an append-only file of samples and its index, opened for reading.

    <cache>/banks/<dataset>/<machine>-<rate>-<channel>-<key>/   samples.i16, records.npy, store.json, boot
    <cache>/banks/<dataset>/.<machine>-<rate>-<channel>-<root>.part/   samples.i16, journal: a build in progress
    <cache>/banks/<dataset>/.<machine>-<rate>-<channel>-<root>.lock    locked by the one process that builds

The key is a hash of the dataset's folder (or s3:// address) and of every file's path, size and modification time, so a
changed file leads to another store. Clips that did not change are copied from the unfinished build or from the earlier
store. Renaming the finished folder commits it. Nodes that share one cache must see a dataset on a disk under the same
path. _build.py writes stores.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xxhash

from asd_ray._json import loads
from asd_ray._shapes import ListOf, Text, Whole, fault, object_of
from asd_ray.clips.audio import Samples
from asd_ray.clips.resampling import check_rate
from asd_ray.clips.table import Problem
from asd_ray.errors import AsdRayError, listing
from asd_ray.storage.locks import InUse
from asd_ray.storage.places import check_readable

VERSION = 1  # of the key
DECODER = 2  # version of the decoding: 1 resampled with torchaudio, 2 with soxr; clips at the wanted rate are the same
MOST_JSON = 1 << 30  # bytes: enough for the paths of five million clips
MOST_BOOT = 4096  # bytes
DESCRIPTION = object_of({"decoder": Whole(1)}, root=Text(), rate=Whole(1), bytes=Whole(0, 2**63), paths=ListOf(Text()))
RECORD = np.dtype(
    [("file", "<u8"), ("channels", "<u4"), ("rate", "<u4"), ("frames", "<u8")]  # file: hash of path, size and time
    + [("offset", "<u8"), ("length", "<u8"), ("digest", "V16")]  # in samples, not bytes; with ALL of all channels
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoding:
    """How files are decoded to samples; part of the key."""

    rate: int = 16_000
    channel: int | str = 0  # a number, MEAN or ALL

    def __post_init__(self) -> None:
        check_rate(self.rate)


class UnreadableClips(AsdRayError):
    """Names all files of a machine, or of a dataset, that cannot be decoded."""

    def __init__(self, machine: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"{len(problems)} clips of {machine} cannot be used:\n{listing(problems)}\n"
            "fix them, or leave them out with --skip-broken"
        )
        self.problems = list(problems)


class Store:
    """One finished store, open for reading. Its files are in the order of their paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        description = read_description(folder)
        self.known_as: str = description["root"]
        check_readable(folder / "records.npy", MOST_JSON)
        self.records: npt.NDArray[np.void] = np.load(folder / "records.npy")
        self._paths = pd.Index(description["paths"])
        if self.records.dtype != RECORD or len(self.records) != len(self._paths):
            raise ValueError("records.npy does not fit store.json")
        if description.get("decoder", 1) != DECODER and (self.records["rate"] != description["rate"]).any():
            raise ValueError("an earlier version resampled its clips in another way")
        samples = folder / "samples.i16"
        if samples.stat().st_size != description["bytes"]:
            raise ValueError(f"{samples} has {samples.stat().st_size} bytes, not {description['bytes']}")
        self._in_use = InUse(folder / "store.json")
        # A plain array: a slice of it takes a tenth of the time of a slice of np.memmap, and it keeps the map open.
        mapped = np.memmap(samples, np.int16, "r") if description["bytes"] else np.zeros(0, np.int16)
        self.samples: Samples = np.asarray(mapped)
        self._check_after_reboot()

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Another process opens the memory map itself."""
        return Store, (self.folder,)

    def _check_after_reboot(self) -> None:
        """Compare all digests once if this computer restarted after the build, because a build does not call fsync."""
        marker = self.folder / "boot"
        check_readable(marker, MOST_BOOT)
        built, now = marker.read_text().split(), boot()
        if built[0] == now[0] and built != now:
            if self.broken():
                raise ValueError("its samples were lost when this computer went down")
            with contextlib.suppress(OSError):
                marker.write_text(" ".join(now))

    def positions(self, paths: pd.Series) -> npt.NDArray[np.intp]:
        """The positions of the files `paths` in `records`."""
        positions: npt.NDArray[np.intp] = self._paths.get_indexer(pd.Index(paths))
        return positions

    def clip(self, position: int) -> Samples:
        """The samples of a clip; with ALL its channels one after another."""
        start = int(self.records["offset"][position])
        return self.samples[start : start + int(self.records["length"][position])]

    def broken(self) -> list[int]:
        """Positions whose samples no longer have the digest they were stored with."""
        return [i for i in range(len(self.records)) if digest(self.clip(i)) != self.records["digest"][i].tobytes()]


def read_description(folder: Path) -> dict[str, Any]:
    """The content of store.json, written by this or an earlier version; ValueError if it is malformed."""
    path = folder / "store.json"
    check_readable(path, MOST_JSON)
    description: dict[str, Any] = loads(path.read_bytes(), path.name, most_bytes=MOST_JSON, keep_surrogates=True)
    if problem := fault(DESCRIPTION, description, path.name):
        raise ValueError(problem)
    return description


def boot() -> list[str]:
    """The name of this node, and an id that changes when it restarts."""
    try:
        return [platform.node() or "?", Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
    except OSError:
        return [platform.node() or "?", "unknown"]


def digest(samples: Samples) -> bytes:
    return xxhash.xxh3_128_digest(samples.data)


def file_hashes(files: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """A hash of each file's path (relative to the root), size and time; another hash means that the file changed."""
    lines = map("{}\t{}\t{}".format, files["path"], files["size"], files["mtime_ns"])
    return np.fromiter((xxhash.xxh3_64_intdigest(line.encode()) for line in lines), np.uint64, len(files))


def store_key(known_as: str, files: pd.DataFrame, decoding: Decoding) -> str:
    """The key of a store. It includes the folder: two datasets may have files with equal names, sizes and times."""
    prefix = f"{VERSION} {decoding.rate} {decoding.channel} {known_as}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(prefix + files["file"].to_numpy().tobytes(), digest_size=8).hexdigest()


def open_store(folder: Path) -> Store | None:
    """The finished store in `folder`; None if there is none, or if it cannot be used (then a warning is logged)."""
    if not folder.is_dir():
        return None
    try:
        return Store(folder)
    except (OSError, EOFError, ValueError, TypeError, LookupError, AsdRayError) as error:
        log.warning("%s: cannot be used (%s); its clips are decoded again", folder, error)
        return None
