"""A dataset on S3: listed once a command, and fetched file by file as far as a node needs it.

    <cache>/mirrors/<bucket-folder>-<hash>/<folder>/…   the files, as large and as old as their objects
    <cache>/mirrors/<bucket-folder>-<hash>.parts/       downloads in progress, which a kill leaves to the next fetch
    <cache>/mirrors/<bucket-folder>-<hash>.lock         held by the one process of the node that fetches

A rename puts a whole file in its place. The mirror may be deleted once the bank is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from asd_ray.clips._tree import File, Tree, is_hidden, kind_of, tree_of
from asd_ray.clips.table import ClipTable, Problem
from asd_ray.errors import AsdRayError
from asd_ray.storage.caches import CACHE_CURE, cache_root
from asd_ray.storage.locks import locked
from asd_ray.storage.places import make_folder, storage_error
from asd_ray.storage.s3 import PATIENT, as_url, parse_s3, s3_filesystem, whole_url

DOWNLOADS = 16  # at once: they wait for the network, not for a core
PIECE = 4 << 20  # bytes
SECOND = 10**9
log = logging.getLogger(__name__)


class Mirror:
    """The files below one s3:// address, on this node."""

    def __init__(self, url: str | Path, cache: str | Path | None = None) -> None:
        self.base, self._options = parse_s3(as_url(url))
        self.origin = whole_url(self.base, self._options)
        name = self.base.rpartition("/")[2]
        if {".", ".."} & set(self.base.split("/")):
            raise AsdRayError(f"s3://{self.base}: an address holds no . and no ..; write the folder's own path")
        endpoint = self._options.get("endpoint_override", "")
        called = re.sub(r"[^A-Za-z0-9._-]+", "-", self.base)[:80]
        hashed = hashlib.blake2b(f"{endpoint} {self.base}".encode(), digest_size=4).hexdigest()
        self._home = cache_root(cache) / "mirrors" / f"{called}-{hashed}"
        self.root = self._home / name  # layouts read a folder's name

    def listing(self) -> tuple[list[File], list[Problem]]:
        """All objects, but for hidden ones and those whose key can be no file's path."""
        from pyarrow import fs

        with _explained(self.base):
            infos = s3_filesystem(self._options).get_file_info(fs.FileSelector(self.base, recursive=True))
        files, problems = [], []
        for info in infos:
            path = info.path[len(self.base) + 1 :]
            *folders, name = path.split("/")
            if not info.is_file or kind_of(name) is None or any(map(is_hidden, folders)):
                continue
            if "\0" in path or not all(0 < len(part.encode()) < 256 for part in (*folders, name)):
                rule = "left out: no file can have the path that its key says"
                problems.append(Problem("warning", path, rule, "give it another key"))
                continue
            # S3 tells whole seconds of one object but may tell milliseconds in a listing.
            files.append(File(path, info.size, int(info.mtime.timestamp()) * SECOND))
        return files, problems

    def fetch(self, files: Sequence[File], progress: Callable[[int], None] = lambda more: None) -> None:
        """Have `files` here; those that are there already are not asked for. `progress` is told of each that is."""
        missing = [file for file in files if not self._has(file)]
        if missing:
            with self._alone():
                still = [file for file in missing if not self._has(file)]
                progress(len(files) - len(still))
                self._download(still, progress)
        else:
            progress(len(files))

    def remove_others(self, files: Sequence[File]) -> None:
        """Delete what was deleted on S3: label lists are looked for by folder."""
        kept = {str(self.root / file.path) for file in files}
        found = (os.path.join(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        gone = [path for path in found if path not in kept]
        if gone:
            with self._alone():
                for path in gone:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)

    def _has(self, file: File) -> bool:
        try:
            status = os.stat(self.root / file.path)
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        parts = self._home.with_name(f"{self._home.name}.parts")
        make_folder(parts.parent, "the mirror of a dataset on S3", CACHE_CURE)
        try:
            with locked(
                parts.with_suffix(".lock"), lambda: log.warning("%s: another process fetches, waiting", self.root)
            ):
                shutil.rmtree(parts, ignore_errors=True)  # of a fetch that was killed
                yield
        except OSError as error:
            raise storage_error(error, self._home.parent, "the mirror of a dataset on S3", CACHE_CURE) from error

    def _download(self, files: Sequence[File], progress: Callable[[int], None]) -> None:
        if not files:
            return
        size = sum(file.size for file in files) / 2**20
        log.info("s3://%s: fetching %d files, %.0f MiB, into %s", self.base, len(files), size, self.root)
        parts = self._home.with_name(f"{self._home.name}.parts")
        parts.mkdir(exist_ok=True)
        filesystem = s3_filesystem(self._options, PATIENT)
        with ThreadPoolExecutor(DOWNLOADS, "asd_ray-fetch") as pool:
            try:
                for _ in pool.map(lambda file: self._get(filesystem, file, parts / uuid.uuid4().hex), files):
                    progress(1)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _get(self, filesystem: Any, file: File, part: Path) -> None:
        key = f"{self.base}/{file.path}"
        with _explained(key):
            stream = filesystem.open_input_stream(key)
        with stream, open(part, "wb") as out:
            if _told(stream) != (file.size, file.mtime_ns):
                raise AsdRayError(f"s3://{key} changed since its folder was listed; run the same command again")
            while True:
                with _explained(key):
                    piece = stream.read(PIECE)
                if not piece:
                    break
                out.write(piece)
        os.utime(part, ns=(file.mtime_ns, file.mtime_ns))
        target = self.root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)


def listed(url: str | Path, cache: str | Path | None = None) -> Tree:
    """What lies below an s3:// address, as `walk` tells it of a folder; the csv files are fetched, no audio is."""
    mirror = Mirror(url, cache)
    files, problems = mirror.listing()
    mirror.remove_others(files)
    tree = tree_of(mirror.root, ((str(kind_of(file.name)), file) for file in files), problems, mirror.origin)
    mirror.fetch(tree.csv)
    return tree


def fetched(table: ClipTable, cache: str | Path | None, progress: Callable[[int, int], None]) -> None:
    """Have every clip of a table from S3 on this node."""
    if table.origin is not None:
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress(done, len(table))

        Mirror(table.origin, cache).fetch(files_of(table.frame), advance)


def files_of(frame: pd.DataFrame) -> list[File]:
    """The files of rows of a clip table."""
    columns = (frame[name].tolist() for name in ("path", "size", "mtime_ns"))
    return [File(path, size, mtime_ns) for path, size, mtime_ns in zip(*columns, strict=True)]


def _told(stream: Any) -> tuple[int, int]:
    """Size and time of an object that is open."""
    about = stream.metadata()
    changed = datetime.fromisoformat(about["Last-Modified"].decode())
    return int(about["Content-Length"]), int(changed.timestamp()) * SECOND


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise AsdRayError(f"s3://{path}: there is no such object; check the bucket and the folder's path") from error
    except OSError as error:
        raise AsdRayError(
            f"s3://{path}: S3 refused or did not answer; nothing was taken over. Check the bucket, AWS credentials and "
            f"the endpoint, then run the same command again ({error})"
        ) from error
