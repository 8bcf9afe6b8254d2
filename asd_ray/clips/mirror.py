"""A dataset on S3: listed once per command; each node downloads only the files that it needs.

    <cache>/mirrors/<bucket-folder>-<hash>/<folder>/…   the files, with the sizes and times of their objects
    <cache>/mirrors/<bucket-folder>-<hash>.parts/       downloads in progress; the next fetch removes what a kill left
    <cache>/mirrors/<bucket-folder>-<hash>.lock         locked by the one process of this node that fetches

A finished download is renamed to its place. The mirror may be deleted once the bank is complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from asd_ray.clips._tree import File, Tree, is_hidden, kind_of, tree_of
from asd_ray.clips.progress import ClipCounter
from asd_ray.clips.table import ClipTable, Problem
from asd_ray.errors import AsdRayError
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.caches import CACHE_CURE, cache_root
from asd_ray.storage.locks import locked
from asd_ray.storage.places import make_folder, storage_error
from asd_ray.storage.s3 import PATIENT, as_url, parse_s3, s3_filesystem, whole_url

DOWNLOADS = 16  # at the same time: they wait for the network, not for a core
PIECE = 4 << 20  # bytes
SECOND = 10**9
log = logging.getLogger(__name__)


class Mirror:
    """This node's copy of the files below one s3:// address."""

    def __init__(self, url: str | Path, cache: str | Path | None = None) -> None:
        self.base, self._options = parse_s3(as_url(url))
        self.origin = whole_url(self.base, self._options)
        name = self.base.rpartition("/")[2]
        if {".", ".."} & set(self.base.split("/")):
            raise AsdRayError(f"s3://{self.base}: an address must not contain . or ..; write the folder's own path")
        endpoint = self._options.get("endpoint_override", "")
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", self.base)[:80]
        digest = hashlib.blake2b(f"{endpoint} {self.base}".encode(), digest_size=4).hexdigest()
        self._home = cache_root(cache) / "mirrors" / f"{readable}-{digest}"
        self.root = self._home / name  # layouts read the folder's name

    def list_files(self) -> tuple[list[File], list[Problem]]:
        """All objects except hidden ones, and a problem for each key that cannot be the path of a file."""
        from pyarrow import fs

        with _s3_errors(self.base):
            infos = s3_filesystem(self._options).get_file_info(fs.FileSelector(self.base, recursive=True))
        files, problems = [], []
        for info in infos:
            path = info.path[len(self.base) + 1 :]
            *folders, name = path.split("/")
            if not info.is_file or kind_of(name) is None or any(map(is_hidden, folders)):
                continue
            if "\0" in path or not all(0 < len(part.encode()) < 256 for part in (*folders, name)):
                rule = "left out: its key cannot be the path of a file"
                problems.append(Problem("warning", path, rule, "give it another key"))
                continue
            # A listing may have milliseconds, but a single object is answered with whole seconds.
            files.append(File(path, info.size, int(info.mtime.timestamp()) * SECOND))
        return files, problems

    def fetch(self, files: Sequence[File], progress: Callable[[int], None] = lambda more: None) -> None:
        """Download those of `files` that are missing here; `progress` is called with the number of new files."""
        missing = [file for file in files if not self._has(file)]
        if missing:
            with self._locked():
                still = [file for file in missing if not self._has(file)]
                progress(len(files) - len(still))
                self._download(still, progress)
        else:
            progress(len(files))

    def remove_others(self, files: Sequence[File]) -> None:
        """Delete the files that are no longer on S3, because label lists are found by looking into folders."""
        on_s3 = {str(self.root / file.path) for file in files}
        here = (os.path.join(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        deleted = [path for path in here if path not in on_s3]
        if deleted:
            with self._locked():
                for path in deleted:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)

    def _has(self, file: File) -> bool:
        try:
            status = os.stat(self.root / file.path)
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        parts = self._home.with_name(f"{self._home.name}.parts")
        make_folder(parts.parent, "the mirror of a dataset on S3", CACHE_CURE)
        try:
            with locked(
                parts.with_suffix(".lock"), lambda: log.warning("%s: another process fetches, waiting", self.root)
            ):
                shutil.rmtree(parts, ignore_errors=True)  # left by a fetch that was killed
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
                for _ in pool.map(lambda file: self._download_one(filesystem, file, parts), files):
                    progress(1)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _download_one(self, filesystem: Any, file: File, parts: Path) -> None:
        target, key = self.root / file.path, f"{self.base}/{file.path}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(target, folder=parts) as part:
            self._copy(filesystem, key, file, part)
            os.utime(part, ns=(file.mtime_ns, file.mtime_ns))

    @staticmethod
    def _copy(filesystem: Any, key: str, file: File, part: Path) -> None:
        with _s3_errors(key):
            stream = filesystem.open_input_stream(key)
        with stream, open(part, "wb") as out:
            if _size_and_time(stream) != (file.size, file.mtime_ns):
                raise AsdRayError(f"s3://{key} changed since its folder was listed; run the same command again")
            while True:
                with _s3_errors(key):
                    piece = stream.read(PIECE)
                if not piece:
                    break
                out.write(piece)


def list_tree(url: str | Path, cache: str | Path | None = None) -> Tree:
    """The files below an s3:// address, as `walk` returns them for a folder. csv files are downloaded, audio is not."""
    mirror = Mirror(url, cache)
    files, problems = mirror.list_files()
    mirror.remove_others(files)
    tree = tree_of(mirror.root, ((str(kind_of(file.name)), file) for file in files), problems, mirror.origin)
    mirror.fetch(tree.csv)
    return tree


def fetch_clips(table: ClipTable, cache: str | Path | None, counter: ClipCounter) -> ClipTable:
    """Download the clips of a dataset on S3; return the table with the folder that holds them on this node.

    The clips are added to the total of `counter`. A table of a local folder is returned as it is.
    """
    if table.origin is None:
        return table
    mirror = Mirror(table.origin, cache)
    counter.total += len(table)
    mirror.fetch(files_of(table.frame), counter.advance)
    return dataclasses.replace(table, root=mirror.root)


def files_of(frame: pd.DataFrame) -> list[File]:
    """The files that the rows of a clip table name."""
    columns = (frame[name].tolist() for name in ("path", "size", "mtime_ns"))
    return [File(path, size, mtime_ns) for path, size, mtime_ns in zip(*columns, strict=True)]


def _size_and_time(stream: Any) -> tuple[int, int]:
    """Size and modification time of an open object."""
    metadata = stream.metadata()
    changed = datetime.fromisoformat(metadata["Last-Modified"].decode())
    return int(metadata["Content-Length"]), int(changed.timestamp()) * SECOND


@contextlib.contextmanager
def _s3_errors(path: str) -> Iterator[None]:
    """Turn errors of pyarrow into messages with a cure."""
    try:
        yield
    except FileNotFoundError as error:
        raise AsdRayError(f"s3://{path}: there is no such object; check the bucket and the folder's path") from error
    except OSError as error:
        raise AsdRayError(
            f"s3://{path}: S3 refused or did not answer; nothing was stored. Check the bucket, AWS credentials and the "
            f"endpoint, then run the same command again ({error})"
        ) from error
