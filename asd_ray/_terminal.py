"""Print text so that a terminal obeys nothing in it: control characters of names are shown as escapes.

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

# Control characters, marks that change the direction of text or cannot be seen, surrogates (bytes of a file's name that
# are not UTF-8), and line separators.
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"  # needed in some languages, and in emoji


def visible(text: object, *, lines: bool = False) -> str:
    r"""`text` with escapes such as ``\x1b`` or ``\u202e`` for control characters. With `lines`, line breaks stay."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if _is_harmless(c) or (lines and c == "\n") else _escaped(c) for c in shown)


def _is_harmless(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character) not in UNSEEN


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def typed(*words: object) -> str:
    """A command line to copy into a shell; a name with control characters is quoted as ``$'a\\nb'``."""
    return " ".join(map(_quoted, map(str, words)))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(c if c.isprintable() and c not in "\\'" else _in_bytes(c) for c in word) + "'"


def _in_bytes(character: str) -> str:
    """The escapes of a character's bytes; a surrogate is a byte of a file's name that is not UTF-8."""
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))


def say(text: object, *, lines: bool = False, error: bool = False) -> None:
    """Print one line, or with `lines` a text of several, on standard output or standard error."""
    print(visible(text, lines=lines), file=sys.stderr if error else sys.stdout)


def say_json(value: Any) -> None:
    """Print JSON for programs, in ASCII: no control characters, and none that the output's encoding lacks."""
    say(json.dumps(value, indent=1, allow_nan=False), lines=True)


def make_ready() -> None:
    """Prepare the output of a command: escapes for characters that its encoding lacks, and in warnings."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:  # it prints the warnings of loggers without a handler
        logging.lastResort.setFormatter(VisibleFormatter())


class VisibleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=record.exc_info is not None)
