"""Write a file or a folder aside, then rename it: no reader sees half of it, and a killed writer harms nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 200  # bytes of a name that is part of the temporary name; a file system allows 255 in all
TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+-[0-9a-f]+\.(?:tmp|part)")  # .part: of the demo set, until version 0.1


@contextmanager
def written_aside(path: str | Path, *, sync: bool = False, folder: Path | None = None) -> Iterator[Path]:
    """The path of a file to write. It takes the place of `path` when the block ends, and is removed if that fails.

    The file lies in the folder of `path`, or in `folder` on the same disk; the folder must exist. Its name starts with
    a dot, so that no listing takes it for data, and no other thread or process has the same. With `sync` the file and
    the rename survive a power cut.
    """
    path = Path(path)
    name = path.name if len(os.fsencode(path.name)) <= LONGEST else ""
    aside = (folder or path.parent) / f".{name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        yield aside
        if sync:
            _sync(aside)
        os.replace(aside, path)
        if sync:
            _sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


@contextmanager
def folder_written_aside(folder: Path) -> Iterator[Path]:
    """An empty folder to fill. It takes the place of `folder` when the block ends, and an older `folder` is removed.

    If the block or the rename fails, `folder` is as it was.
    """
    unique = f".{folder.name[:100]}.{os.getpid()}-{uuid.uuid4().hex[:8]}"
    aside, old = folder.with_name(f"{unique}.tmp"), folder.with_name(f"{unique}.old")
    try:
        aside.mkdir(parents=True)
        yield aside
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(aside, folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.rename(old, folder)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def final_path(path: Path) -> Path:
    """Where `written_aside` would have moved the temporary file `path`; any other path is returned as it is."""
    match = TEMPORARY.fullmatch(path.name)
    return path.with_name(match["name"]) if match else path


def remove_temporary(folder: Path) -> None:
    """Remove the temporary files of writers that were killed, in `folder` and all folders below it.

    A writer that is still at work loses its file, too, and gets FileNotFoundError.
    """
    for path in folder.rglob(".*"):
        if final_path(path) != path:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
