"""Paths on a disk: where a file may be written, and the message when it cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from pathlib import Path

from asd_ray.errors import AsdRayError, StorageError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a used-up quota, the largest size of a file
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # one slash: pathlib folds the two of an address


def is_address(path: str | Path) -> bool:
    """Whether `path` is ``s3://…``, ``gs://…`` or similar, even after pathlib changed it to ``gs:/…``."""
    return ADDRESS.match(os.fspath(path)) is not None


def local(path: str | Path, what: str) -> Path:
    """`path` on this computer, with ~ for the home folder; AsdRayError for an address, which would become a folder."""
    text = os.fspath(path)
    if is_address(text):
        raise AsdRayError(f"{text}: {what} must be on a disk of this computer; name a folder or a file, not an address")
    return Path(text).expanduser()


def check_readable(path: Path, most: int) -> None:
    """Raise OSError if reading all of `path` could wait forever (a FIFO, a device) or take too much memory."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    if status.st_size > most:
        raise OSError(f"it has {status.st_size} bytes, where at most {most} are read")


def check_text(path: str | Path) -> None:
    """Raise AsdRayError for a path that Arrow cannot open, because its name is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise AsdRayError(f"{path}: its name is not UTF-8 text; rename it, or name another path") from None


def make_folder(folder: Path, purpose: str, cure: str) -> None:
    """Create `folder`; StorageError with the cure if the disk is read-only or full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if rule := obstacle(folder, folder=True):
            raise StorageError(f"{folder}: cannot write {purpose}, since {rule}; {cure}") from error
        raise storage_error(error, folder, purpose, cure) from error


def storage_error(error: OSError, path: str | Path, purpose: str, cure: str) -> StorageError:
    """The message for a write that failed because of the disk, not because of us.

    `cure` names the option for another place, such as "name another folder with --out": the option of this `path`.
    """
    path = Path(path)
    if error.errno in DISK_FULL:
        free = f" ({shutil.disk_usage(path.parent).free / 2**20:.0f} MiB free)" if path.parent.exists() else ""
        return StorageError(
            f"{path}: disk full while writing {purpose}{free}, or a quota is used up; nothing already stored was "
            f"harmed. Free some space, or {cure}, then run the same command again"
        )
    if rule := obstacle(path):
        return StorageError(f"{path}: cannot write {purpose}, since {rule}; {cure}")
    return StorageError(
        f"{path}: cannot write {purpose} ({why(error)}); nothing already stored was harmed. Make its folder writable, "
        f"or {cure}"
    )


def why(error: OSError) -> str:
    """The system's reason; Arrow's text would contain the name of a temporary file."""
    return os.strerror(error.errno) if error.errno else str(error)


def obstacle(path: Path, *, folder: bool = False) -> str:
    """Why no file, or no `folder`, can be at `path`: what is there, or above it; "" if nothing is in the way."""
    for part in (path, *path.parents):
        with contextlib.suppress(OSError):
            if part.is_symlink() and not part.exists():
                return f"{part} is a link to something that does not exist"
            if part.is_dir():
                return "it is a folder, and a file is needed there" if part == path and not folder else ""
            if part.exists():
                replaced = part == path and not folder
                return "" if replaced else f"{part} is a file, and a folder is needed there"
    return ""
