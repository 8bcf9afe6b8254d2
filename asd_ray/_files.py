"""Files that several processes share on one node: where caches live, locks that die with their holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_ray.errors import StorageError

CACHE_VARIABLE = "ASD_RAY_CACHE"


def cache_root(explicit: str | Path | None = None) -> Path:
    """Where a node keeps decoded audio and features: `explicit`, $ASD_RAY_CACHE, or ~/.cache/asd_ray."""
    if explicit is None:
        explicit = os.environ.get(CACHE_VARIABLE) or None  # an empty variable counts as one that is not set
    try:
        if explicit is not None:
            return Path(explicit).expanduser().absolute()
        shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (shared if shared.is_absolute() else Path.home() / ".cache") / "asd_ray"  # a relative one is invalid
    except RuntimeError as error:  # a user without a home folder, or ~NAME of nobody
        raise StorageError(
            f"the cache has no place ({error}); name a folder with --cache DIR or ${CACHE_VARIABLE}, or set $HOME"
        ) from error


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, alone among all processes of this node; the kernel frees it if we are killed.

    `waiting` is called once if another process holds it. A lock file is never removed: a process could be
    waiting on the removed one while a third makes a new one, and both would go ahead.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class InUse:
    """A shared lock on `path` for as long as this object lives: says "do not delete" to `remove_unused`."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # no locks on some read-only network mounts: nobody deletes there
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __del__(self) -> None:
        os.close(self._descriptor)


def remove_unused(folder: Path, guard: Path) -> bool:
    """Delete `folder` unless some process holds `guard` in use."""
    try:
        descriptor = os.open(guard, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def make_folder(folder: Path, purpose: str) -> None:
    """Create `folder`; a read-only or full disk is said with the cure."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder, purpose) from error


def storage_error(error: OSError, path: Path, purpose: str) -> StorageError:
    """The message for a write that failed because of the disk, not because of us."""
    cure = f"name a folder on another disk with --cache DIR or ${CACHE_VARIABLE}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        room = ""
        if path.exists():
            room = f" ({shutil.disk_usage(path).free / 2**20:.0f} MiB free)"
        return StorageError(
            f"{path}: disk full while writing {purpose}{room}; free some space and run it again, or {cure}"
        )
    return StorageError(f"{path}: cannot write {purpose} ({error.strerror}); {cure}")
