"""Files that several processes share on one node: where caches live, locks that die with their holder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_ray.errors import AsdRayError, StorageError

CACHE_VARIABLE = "ASD_RAY_CACHE"
CACHE_CURE = f"name a folder on another disk with --cache DIR or ${CACHE_VARIABLE}"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # also of a quota, and of the largest size of a file
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # one slash: pathlib folds the two of an address
MOST_THREADS = 256  # more are no faster anywhere, and a system may refuse to start them


def cache_root(explicit: str | Path | None = None) -> Path:
    """Where a node keeps decoded audio and features: `explicit`, $ASD_RAY_CACHE, or ~/.cache/asd_ray."""
    named = "--cache"
    if explicit is None:
        explicit, named = os.environ.get(CACHE_VARIABLE) or None, f"${CACHE_VARIABLE}"  # an empty one is not set
    try:
        if explicit is not None:
            return local(explicit, f"the cache ({named})").absolute()
        shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (shared if shared.is_absolute() else Path.home() / ".cache") / "asd_ray"  # a relative one is invalid
    except RuntimeError as error:  # a user without a home folder, or ~NAME of nobody
        raise StorageError(
            f"the cache has no place ({error}); name a folder with --cache DIR or ${CACHE_VARIABLE}, or set $HOME"
        ) from error


def is_address(path: str | Path) -> bool:
    """Whether `path` is ``s3://…``, ``gs://…`` or the like, also where pathlib has made ``gs:/…`` of it."""
    return ADDRESS.match(os.fspath(path)) is not None


def local(path: str | Path, what: str) -> Path:
    """`path` on this computer, with ~ for the home folder; pathlib would make a folder called ``s3:`` of an address."""
    text = os.fspath(path)
    if is_address(text):
        raise AsdRayError(f"{text}: {what} must be on a disk of this computer; name a folder or a file, not an address")
    return Path(text).expanduser()


def check_readable(path: Path, most: int) -> None:
    """OSError where reading `path` whole could wait for ever (a FIFO, a device) or take too much memory."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no regular file")
    if status.st_size > most:
        raise OSError(f"it has {status.st_size} bytes, where at most {most} are read")


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


def make_folder(folder: Path, purpose: str, cure: str = CACHE_CURE) -> None:
    """Create `folder`; a read-only or full disk is said with the cure."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if rule := obstacle(folder, folder=True):
            raise StorageError(f"{folder}: cannot write {purpose}, since {rule}; {cure}") from error
        raise storage_error(error, folder, purpose, cure) from error


def storage_error(error: OSError, path: Path, purpose: str, cure: str = CACHE_CURE) -> StorageError:
    """The message for a write that failed because of the disk, not because of us.

    `cure` says how to name another place: "name another folder with --out". It must be the option that `path` is of.
    """
    if error.errno in DISK_FULL:
        room = ""
        if path.parent.exists():
            room = f" ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free)"
        return StorageError(
            f"{path}: disk full while writing {purpose}{room}; free some space and run it again, or {cure}"
        )
    if rule := obstacle(path):
        return StorageError(f"{path}: cannot write {purpose}, since {rule}; {cure}")
    return StorageError(f"{path}: cannot write {purpose} ({why(error)}); make its folder writable, or {cure}")


def why(error: OSError) -> str:
    """In the system's words; Arrow's have the name of a temporary file in them."""
    return os.strerror(error.errno) if error.errno else str(error)


def obstacle(path: Path, *, folder: bool = False) -> str:
    """What stands where a file, or a `folder`, is to be written, or above it; "" where nothing does."""
    for part in (path, *path.parents):
        with contextlib.suppress(OSError):
            if part.is_symlink() and not part.exists():
                return f"{part} is a link to something that is not there"
            if part.is_dir():
                return "it is a folder, and a file is needed there" if part == path and not folder else ""
            if part.exists():
                replaced = part == path and not folder
                return "" if replaced else f"{part} is a file, and a folder is needed there"
    return ""


def check_text(path: str | Path) -> None:
    """For a path that Arrow opens, which knows only names in UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise AsdRayError(f"{path}: its name is not UTF-8 text; rename it, or name another path") from None


def threads(asked: int | None, tasks: int) -> int:
    """How many to start: as many as were asked for, or one a core, but no more than have something to do."""
    return max(1, min(asked or os.cpu_count() or 1, tasks, MOST_THREADS))
