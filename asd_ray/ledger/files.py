"""The few file operations of the ledger, with one meaning on a local disk and on S3: `put` is all or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from asd_ray._files import DISK_FULL, obstacle, why
from asd_ray._s3 import PATIENT
from asd_ray.errors import AsdRayError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asd_ray.ledger.run_layout import RunLayout

T = TypeVar("T")
R = TypeVar("R")

FILE = (".parquet", ".json")  # how the names of a run's files end
PARTITION = ("machine=", "family=")  # how the names of the ledger's folders begin; a machine may be called fan.json
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
FULL = DISK_FULL
CURE = "name another run (--run RUN, or RUN of asd-ray ledger)"


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


class LocalFiles:
    def __init__(self, layout: RunLayout, cure: str = CURE) -> None:
        """`cure` says how to name another place than the one of `layout`, in a message."""
        self.layout, self._cure = layout, cure
        self.workers = min(4, os.cpu_count() or 1)

    def patient(self) -> LocalFiles:
        return self

    def list(self, folder: str, prefix: str = "") -> list[Stored]:
        """Each folder once, and links to folders last: links that lead in a circle end, and a file has its own path."""
        found: list[Stored] = []
        folders, links, seen = [folder], list[str](), set[tuple[int, int]]()
        while folders or links:
            current = folders.pop() if folders else links.pop()
            try:
                status = os.stat(current)
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    found += _inside(self, current, prefix, folders, links)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise _unreadable(current, error) from error
        return sorted(found, key=lambda stored: stored.path)

    def stat(self, path: str) -> Stored | None:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return Stored(path, 0, 0, kind="a link that leads nowhere") if os.path.islink(path) else None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return Stored(path, 0, 0, kind="a link that leads in a circle")
            raise _unreadable(path, error) from error
        kind = "" if stat.S_ISREG(status.st_mode) else KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        return Stored(path, status.st_size, status.st_mtime, status.st_ino, kind)

    def open(self, path: str) -> Any:
        """OSError for what is no file, such as a FIFO, which would wait for a writer for ever."""
        import pyarrow as pa

        if (stored := self.stat(path)) and stored.kind:
            raise OSError(errno.EINVAL, f"it is {stored.kind}, not a file")
        return pa.OSFile(path)  # not a memory map: a file cut short under a map kills the process with SIGBUS

    def put(self, path: str, data: Any) -> None:
        """Write aside under a dot name in the same folder, then rename: no reader ever sees half a file."""
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(aside, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.replace(aside, path)
            _sync_folder(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            refuse(path, error, self._cure)

    def move(self, source: str, target: str) -> None:
        try:
            os.makedirs(target.rpartition("/")[0], exist_ok=True)
            os.replace(source, target)
        except FileNotFoundError:
            raise
        except OSError as error:
            refuse(target, error, self._cure)

    def remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageError(
                f"{path}: cannot be removed ({error.strerror or error}); nothing stored was harmed. Make its folder "
                "writable, or leave it to the file's owner"
            ) from error


class S3Files:
    workers = 32  # waits for the network, not for a core

    def __init__(self, layout: RunLayout, attempts: int = 3) -> None:
        self.layout = layout
        self.filesystem = layout.filesystem(attempts)

    def patient(self) -> S3Files:
        return S3Files(self.layout, PATIENT)

    def list(self, folder: str, prefix: str = "") -> list[Stored]:
        from pyarrow import fs

        with self._explained(folder):
            infos = self.filesystem.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        found = (stored for stored in map(_stored, infos) if stored and stored.name.startswith(prefix))
        return sorted(found, key=lambda stored: stored.path)

    def stat(self, path: str) -> Stored | None:
        with self._explained(path):
            return _stored(self.filesystem.get_file_info(path))

    def open(self, path: str) -> Any:
        with self._explained(path):
            return self.filesystem.open_input_file(path)

    def put(self, path: str, data: Any) -> None:
        """One put: S3 shows the object whole or not at all."""
        with self._explained(path), self.filesystem.open_output_stream(path) as out:
            out.write(data)

    def move(self, source: str, target: str) -> None:
        try:
            with self._explained(target):
                self.filesystem.copy_file(source, target)
                self.filesystem.delete_file(source)
        except AsdRayError as error:
            if self.stat(source) is None:  # S3 says so in words of its own
                raise FileNotFoundError(source) from error
            raise

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(path):
            self.filesystem.delete_file(path)

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(
                f"s3://{path}: S3 refused or did not answer; nothing already stored was harmed. Check the bucket, "
                f"AWS credentials and the endpoint, then run the same command again ({error})"
            ) from error


def _stored(info: Any) -> Stored | None:
    """S3 tells whole seconds of one object but milliseconds in a listing; only whole seconds can be compared."""
    return Stored(info.path, info.size, int(info.mtime.timestamp()) if info.mtime else 0) if info.is_file else None


def _inside(files: LocalFiles, folder: str, prefix: str, folders: list[str], links: list[str]) -> Iterator[Stored]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_folder(entry, in_ensembles=folder == files.layout.ensembles):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif entry.name.startswith(prefix) and (
                stored := files.stat(entry.path)
            ):  # a stat each: what listing costs
                yield stored


def _is_folder(entry: os.DirEntry[str], *, in_ensembles: bool) -> bool:
    """Whether to list what is inside. A folder where a file should be is listed itself, so that readers name it.

    The place decides, for a machine, a family and a folder of ensembles may have a name that ends as a file's does.
    """
    named_as_file = entry.name.endswith(FILE) and not entry.name.startswith(PARTITION) and not in_ensembles
    try:
        return not named_as_file and entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _sync_folder(folder: str) -> None:
    """Make the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(path: str, error: OSError) -> AsdRayError:
    return StorageError(f"{path}: cannot be read ({error.strerror or error}); check the disk and the permissions")


def refuse(path: str, error: OSError, cure: str = CURE) -> NoReturn:
    """A write to `path` failed. `cure` says how to name another place: it must be the option that `path` is of."""
    if error.errno in FULL:
        raise StorageError(
            f"{path}: disk full (or over a quota): the file was not written, nothing already stored was harmed. Free "
            f"some space, or {cure}, then run the same command again"
        ) from error
    if rule := obstacle(Path(path)):
        raise StorageError(f"{path}: cannot be written, since {rule}; {cure}") from error
    raise StorageError(
        f"{path}: cannot be written ({why(error)}); nothing already stored was harmed. Make its folder writable, or "
        f"{cure}"
    ) from error
