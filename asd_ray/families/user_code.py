"""What a user's own module or file raises, as one message: what happened, in which file, on which line."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_ray.errors import AsdRayError

LONGEST = 500  # characters of an exception's own text
SHORT = 80  # of a value's repr
OURS = str(Path(__file__).parents[1]) + os.sep


@contextmanager
def explained(message: str, cure: str) -> Iterator[None]:
    """Turn whatever the block raises into ``<message> (<what happened, where>); <cure>``.

    ``sys.exit`` in a user's file would end the command without a word, so it counts as an error. Ctrl-C stays Ctrl-C,
    and so does a KeyboardInterrupt that the code raises: the two cannot be told apart.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit, AsdRayError):
        raise
    except BaseException as error:
        raise AsdRayError(f"{message} ({description(error)}); {cure}") from error


def description(error: BaseException) -> str:
    """``ValueError: no such fan, mine.py:12``: the exception, and the last line of code that is not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {_shortened(error.msg)}, {error.filename}:{error.lineno or 1}"
    if isinstance(error, SystemExit):
        text = f"it calls sys.exit({error.code!r}), which no search survives"
    else:
        text = f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")
    where = origin(error)
    return f"{text}, {where}" if where else text


def origin(error: BaseException) -> str:
    """``file:line`` of the last of the user's own lines that the exception passed; "" where there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = frame.filename
        is_library = "site-packages" in name or "dist-packages" in name or name.startswith((OURS, "<"))
        if not is_library and not name.startswith(os.path.dirname(os.__file__) + os.sep):
            return f"{name}:{frame.lineno}"
    return ""


def shown(value: object) -> str:
    """A value of a user's in a message: its repr, cut short; an int of 5000 digits has none, nor what raises there."""
    try:
        text = repr(value)
    except Exception:
        return f"of type {type(value).__name__}"
    return text if len(text) <= SHORT else text[:SHORT] + "…"


def text_of(error: BaseException) -> str:
    """Its own text, cut short."""
    try:
        return _shortened(str(error))
    except Exception:  # __str__ is the user's code as well
        return "its text cannot be shown"


def _shortened(text: str) -> str:
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair can be printed nowhere
