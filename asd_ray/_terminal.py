"""The one way to the terminal: every name is shown as it is spelled, and a terminal obeys nothing in it.

A verb prints with `say` and `say_json`, or with the console of `asd_ray._console`; nothing else writes to a terminal.
"""

from __future__ import annotations

import io
import json
import logging
import shlex
import sys
import unicodedata
from typing import Any

# Control characters, marks that turn the direction of text or cannot be seen, halves of a character (bytes of a file's
# name that are no UTF-8), and line separators.
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"  # belong to the spelling of some languages, and of emoji


def visible(text: object, *, lines: bool = False) -> str:
    r"""`text` with ``\x1b`` or ``\u202e`` for what a terminal would obey; with `lines` line breaks stay as they are."""
    said = str(text)
    if said.isprintable():
        return said
    return "".join(c if _is_harmless(c) or (lines and c == "\n") else _spelled(c) for c in said)


def _is_harmless(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character) not in UNSEEN


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def typed(*words: object) -> str:
    """A command line that a shell takes as it is shown; a name with control characters is quoted as ``$'a\\nb'``."""
    return " ".join(map(_quoted, map(str, words)))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(c if c.isprintable() and c not in "\\'" else _in_bytes(c) for c in word) + "'"


def _in_bytes(character: str) -> str:
    """A character, or a byte of a file's name that is no UTF-8."""
    how = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", how))


def say(text: object, *, lines: bool = False, error: bool = False) -> None:
    """Print one line, or with `lines` a text of several, on standard output or standard error."""
    print(visible(text, lines=lines), file=sys.stderr if error else sys.stdout)


def say_json(value: Any) -> None:
    """Exact for programs, and in ASCII: it holds nothing that a terminal would obey or an encoding lacks."""
    say(json.dumps(value, indent=1, allow_nan=False), lines=True)


def make_ready() -> None:
    """For a command, before it prints: what the output's encoding lacks is spelled out; so are names in warnings."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:  # prints the warnings of loggers that have no handler
        logging.lastResort.setFormatter(VisibleFormatter())


class VisibleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=record.exc_info is not None)
