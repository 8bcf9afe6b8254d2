"""Files leave the ledger without being deleted: they move to the run's `ledger_set_aside`, with the reason beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asd_ray.ledger.files import Files


def set_aside(files: Files, path: str, reason: str) -> str:
    """Move the ledger's file `path` away; where it went. FileNotFoundError when another process was first."""
    stored = files.stat(path)
    if stored is None:
        raise FileNotFoundError(path)
    aside = free_place(files, path, stored.size, lambda: _content(files, path))
    files.move(path, aside)
    explain(files, aside, path, reason)
    return aside


def put_aside(files: Files, path: str, content: Any, reason: str) -> str:
    """Store `content` where the ledger's file `path` would go; for a trial that is taken out of a compact file."""
    aside = free_place(files, path, len(content), lambda: bytes(content))
    files.put(aside, content)
    explain(files, aside, path, reason)
    return aside


def free_place(files: Files, path: str, size: int, content: Callable[[], bytes]) -> str:
    """A path among the files set aside that nothing else has.

    One that holds this very content was left by a call that was killed half way, and is used again.
    """
    target = files.layout.set_aside_file(path)
    number = 0
    while (stored := files.stat(aside := f"{target}.{number}" if number else target)) is not None:
        if stored.size == size and _content(files, aside) == content():
            break
        number += 1
    return aside


def explain(files: Files, aside: str, path: str, reason: str) -> None:
    url, move = files.layout.url, "aws s3 mv" if files.layout.is_s3 else "mv"
    text = f"{url(path)}: {reason}\nTo bring it back: {move} '{url(aside)}' '{url(path)}'\n"
    files.put(f"{aside}.reason.txt", text.encode())


def _content(files: Files, path: str) -> bytes:
    with files.open(path) as opened:
        return bytes(opened.read())
