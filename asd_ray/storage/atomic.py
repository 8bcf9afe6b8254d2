"""Write a file aside, then rename it: no reader ever sees half a file, and a killed writer harms nothing."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: str | Path, *, sync: bool = False) -> Iterator[Path]:
    """The path of a file to write. It takes the place of `path` when the block ends, and is removed if that fails.

    It lies in the same folder, which must exist; its name starts with a dot, so that no listing takes it for data. With
    `sync` the file and the rename survive a power cut.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
