"""Write each file of the demo set under a temporary name, then rename it: a file that has its name is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it is renamed to `path` when the block ends without an error."""
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        with contextlib.suppress(FileNotFoundError):  # another call completed the set and removed the temporary files
            os.replace(part, path)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    finally:
        part.unlink(missing_ok=True)


def final_path(part: Path) -> Path:
    """The path to which `written_aside` would have renamed a temporary file; any other path is returned as it is."""
    return part.with_name(part.name[1:].rsplit(".", 2)[0]) if part.name.endswith(".part") else part


def write_text(path: Path, text: str) -> None:
    with written_aside(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
