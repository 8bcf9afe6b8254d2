"""The few operations on the files of a run. They mean the same on a local disk and on S3: `put` is all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from asd_ray.storage.run_layout import RunLayout

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Stored:
    """One file as listed. A file that was replaced differs from the old one in at least one field."""

    path: str
    size: int
    stamp: float  # when it was written, in seconds by the clock of the store
    inode: int = 0  # for two files of one size within one tick of a disk's clock; 0 on S3
    kind: str = ""  # "a folder", "a FIFO", … of what is not a file and is never opened

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Files(Protocol):
    layout: RunLayout
    workers: int  # threads that read at once

    def patient(self) -> Files: ...  # the same files, with more attempts during a short outage: for commits

    # all files below the folder whose names begin with the prefix; none if the folder does not exist
    def list(self, folder: str, prefix: str = "") -> list[Stored]: ...

    def stat(self, path: str) -> Stored | None: ...  # None if it does not exist

    def open(self, path: str) -> Any: ...  # a pyarrow.NativeFile with random access; FileNotFoundError

    def put(self, path: str, data: Any) -> None: ...  # the whole file or nothing; replaces an old one

    def move(self, source: str, target: str) -> None: ...  # FileNotFoundError if the source is gone

    def remove(self, path: str) -> None: ...  # no error if it is already gone


def is_io_error(error: OSError) -> bool:
    """Whether the disk or the network failed; pyarrow raises OSError for bytes that are not Parquet, too."""
    return error.errno is not None or "AWS Error" in str(error)


def parallel(files: Files, act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`act` of each item, in order, computed by as many threads as the store can use."""
    with ThreadPoolExecutor(files.workers) as pool:
        yield from pool.map(act, items)
