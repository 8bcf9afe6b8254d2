"""The root exception, and the form of its messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from asd_ray._terminal import visible


class AsdRayError(Exception):
    """A problem the user can fix: the message names the path, the rule and the cure.

    The command line prints the message and exits 2; ``--debug`` shows the traceback.
    """


class StorageError(AsdRayError):
    """A disk or S3 cannot be read or written now. The place is at fault, not the content that was to be stored."""


def unknown(kind: str, name: str, known: Iterable[str]) -> AsdRayError:
    """``unknown layout 'dcase202'; did you mean 'dcase2020'? known: …``"""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    return AsdRayError(f"unknown {kind} {name!r}{hint} known: {', '.join(known)}")


def listing(items: Iterable[object], most: int = 20) -> str:
    """An indented list for a message; the last line of a list that is cut counts the other items."""
    lines = [f"  {visible(item)}" for item in items]
    if len(lines) > most:
        lines = [*lines[:most], f"  … and {len(lines) - most} more"]
    return "\n".join(lines)
