"""Write each file of the demo set under a temporary name, then rename it: a file that has its name is complete."""

from __future__ import annotations

from pathlib import Path

from asd_ray.storage.atomic import written_aside


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write the file, unless another call completes the set meanwhile and removes all temporary files."""
    try:
        with written_aside(path) as aside:
            aside.write_bytes(content)
    except FileNotFoundError:
        if not path.exists():
            raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())
