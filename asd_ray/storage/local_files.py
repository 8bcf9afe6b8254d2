"""The files of a run on a local disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.files import Stored
from asd_ray.storage.places import storage_error
from asd_ray.storage.run_layout import CURE, RunLayout

FILE = (".parquet", ".json")  # how the names of a run's files end
PARTITION = ("machine=", "family=")  # how names of the ledger's folders begin; a machine may be called fan.json
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


class LocalFiles:
    def __init__(self, layout: RunLayout, cure: str = CURE) -> None:
        """`cure` is the part of an error message that names the option for another place."""
        self.layout, self._cure = layout, cure
        self.workers = min(4, os.cpu_count() or 1)

    def patient(self) -> LocalFiles:
        return self

    def list(self, folder: str, prefix: str = "") -> list[Stored]:
        """Each folder once, so links in a circle end; links to folders last, so a file is listed under its own path."""
        listed: list[Stored] = []
        folders, links, seen = [folder], list[str](), set[tuple[int, int]]()
        while folders or links:
            current = folders.pop() if folders else links.pop()
            try:
                status = os.stat(current)
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    listed += _inside(self, current, prefix, folders, links)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                raise _unreadable(current, error) from error
        return sorted(listed, key=lambda stored: stored.path)

    def stat(self, path: str) -> Stored | None:
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return Stored(path, 0, 0, kind="a link to something that does not exist") if os.path.islink(path) else None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return Stored(path, 0, 0, kind="a link in a circle")
            raise _unreadable(path, error) from error
        kind = "" if stat.S_ISREG(status.st_mode) else KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        return Stored(path, status.st_size, status.st_mtime, status.st_ino, kind)

    def open(self, path: str) -> Any:
        """Open a file. OSError for anything else, such as a FIFO, which would wait for a writer forever."""
        import pyarrow as pa

        if (stored := self.stat(path)) and stored.kind:
            raise OSError(errno.EINVAL, f"it is {stored.kind}, not a file")
        return pa.OSFile(path)  # not a memory map: a file cut short under a map kills the process with SIGBUS

    def put(self, path: str, data: Any) -> None:
        """Write aside, then rename: no reader ever sees half a file."""
        try:
            os.makedirs(path.rpartition("/")[0], exist_ok=True)
            with written_aside(path, sync=True) as aside:
                aside.write_bytes(data)
        except OSError as error:
            raise storage_error(error, path, "the file", self._cure) from error

    def move(self, source: str, target: str) -> None:
        try:
            os.makedirs(target.rpartition("/")[0], exist_ok=True)
            os.replace(source, target)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(error, target, "the file", self._cure) from error

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


def _inside(files: LocalFiles, folder: str, prefix: str, folders: list[str], links: list[str]) -> Iterator[Stored]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_folder(entry, in_ensembles=folder == files.layout.ensembles):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif entry.name.startswith(prefix) and (
                stored := files.stat(entry.path)
            ):  # one stat per file is the cost of a listing
                yield stored


def _is_folder(entry: os.DirEntry[str], *, in_ensembles: bool) -> bool:
    """Whether to list what is inside. A folder in the place of a file is listed itself, so that readers report it.

    The name alone does not decide: the folder of a machine, a family or ensembles may be called fan.json.
    """
    named_as_file = entry.name.endswith(FILE) and not entry.name.startswith(PARTITION) and not in_ensembles
    try:
        return not named_as_file and entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _unreadable(path: str, error: OSError) -> AsdRayError:
    return StorageError(f"{path}: cannot be read ({error.strerror or error}); check the disk and the permissions")
