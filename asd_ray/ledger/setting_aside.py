"""Move files out of the ledger into the run's `ledger_set_aside`, with the reason beside each. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asd_ray.storage.files import Files, Stored


def set_aside(files: Files, path: str, reason: str) -> str:
    """Move the ledger's file `path`; returns the new path. FileNotFoundError if another process was first."""
    stored = files.stat(path)
    if stored is None:
        raise FileNotFoundError(path)
    aside = move_to_free_place(files, stored, files.layout.set_aside_file(path))
    explain(files, aside, path, reason)
    return aside


def put_aside(files: Files, path: str, content: Any, reason: str) -> str:
    """Store `content` where the ledger's file `path` would be moved; for a trial of a compact file."""
    aside = free_place(files, files.layout.set_aside_file(path), len(content), lambda: bytes(content))
    files.put(aside, content)
    explain(files, aside, path, reason)
    return aside


def move_to_free_place(files: Files, stored: Stored, target: str) -> str:
    """Move a file to `target`, or beside it if `target` exists; returns the new path."""
    place = free_place(files, target, -1 if stored.kind else stored.size, lambda: _content(files, stored.path))
    files.move(stored.path, place)
    return place


def free_place(files: Files, target: str, size: int, content: Callable[[], bytes]) -> str:
    """`target`, or the first of ``target.1``, ``target.2``, … that does not exist.

    A file with the same content was left by a call that was killed, and is used again.
    """
    number = 0
    while (stored := files.stat(aside := f"{target}.{number}" if number else target)) is not None:
        if stored.size == size and _content(files, aside) == content():
            break
        number += 1
    return aside


def explain(files: Files, aside: str, path: str, reason: str) -> None:
    """Write the reason, and the command that brings the file back, beside a file that was set aside."""
    url, move = files.layout.url, "aws s3 mv" if files.layout.is_s3 else "mv"
    text = f"{url(path)}: {reason}\nTo bring it back: {move} '{url(aside)}' '{url(path)}'\n"
    files.put(f"{aside}.reason.txt", text.encode())


def _content(files: Files, path: str) -> bytes:
    with files.open(path) as opened:
        return bytes(opened.read())
