"""The few operations on the files of a run, with one meaning on a local disk and on S3: `put` is all or nothing."""

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
    """One file as listed; all of it together tells a replaced file from the old one."""

    path: str
    size: int
    stamp: float  # when it was written, in seconds
    inode: int = 0  # two files of one size may be written within one tick of a disk's clock; 0 on S3
    kind: str = ""  # "a folder", "a FIFO", … of what is no file: it is never opened

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Files(Protocol):
    layout: RunLayout
    workers: int  # threads that read at once

    def patient(self) -> Files: ...  # the same, but outlasting a short outage: for commits

    # every file below whose name begins so, none when the folder is not there
    def list(self, folder: str, prefix: str = "") -> list[Stored]: ...

    def stat(self, path: str) -> Stored | None: ...  # None when it is not there

    def open(self, path: str) -> Any: ...  # a pyarrow.NativeFile for random access; FileNotFoundError when gone

    def put(self, path: str, data: Any) -> None: ...  # the whole file or nothing; replaces

    def move(self, source: str, target: str) -> None: ...  # FileNotFoundError when the source is gone

    def remove(self, path: str) -> None: ...  # no error when it is already gone


def is_io_error(error: OSError) -> bool:
    """Whether the disk or the network failed, as opposed to bytes that are not Parquet (pyarrow raises both)."""
    return error.errno is not None or "AWS Error" in str(error)


def parallel(files: Files, act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    with ThreadPoolExecutor(files.workers) as pool:
        yield from pool.map(act, items)
