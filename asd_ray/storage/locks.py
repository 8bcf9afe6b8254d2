"""Locks among the processes of one node. The kernel frees them when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def open_lock(path: str | Path) -> int:
    """The descriptor of a lock file, which is made if it does not exist.

    A lock file is never removed: a process could be waiting on the removed one while a third makes a new one, and
    both would go ahead.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file until the file is closed; False if another process has it. Never waits."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, alone among all processes of this node, as long as the block runs.

    `waiting` is called once if another process holds it.
    """
    descriptor = open_lock(path)
    try:
        if not try_lock(descriptor):
            if waiting is not None:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class InUse:
    """A shared lock on `path` as long as this object exists: `remove_unused` then deletes nothing."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # some read-only network mounts have no locks: nobody deletes there
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __del__(self) -> None:
        os.close(self._descriptor)


def remove_unused(folder: Path, guard: Path) -> bool:
    """Delete `folder` unless a process holds `guard` in use; whether it was deleted."""
    try:
        descriptor = os.open(guard, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not try_lock(descriptor):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
