"""Errors of a user's own module or file as one message: what happened, in which file, on which line."""

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
    """Turn any error of the block into an AsdRayError: ``<message> (<what happened, where>); <cure>``.

    ``sys.exit`` counts as an error, because it would end the command without a message. A KeyboardInterrupt stays one,
    even if the code raises it, because Ctrl-C looks the same.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit, AsdRayError):
        raise
    except BaseException as error:
        raise AsdRayError(f"{message} ({description(error)}); {cure}") from error


def description(error: BaseException) -> str:
    """``ValueError: no such fan, mine.py:12``: the exception, and the last line of the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {_shortened(error.msg)}, {error.filename}:{error.lineno or 1}"
    if isinstance(error, SystemExit):
        text = f"it calls sys.exit({error.code!r}), which would end the search"
    else:
        text = f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")
    where = origin(error)
    return f"{text}, {where}" if where else text


def origin(error: BaseException) -> str:
    """``file:line`` of the last line of the user's own code in the traceback; "" if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = frame.filename
        is_library = "site-packages" in name or "dist-packages" in name or name.startswith((OURS, "<"))
        if not is_library and not name.startswith(os.path.dirname(os.__file__) + os.sep):
            return f"{name}:{frame.lineno}"
    return ""


def shown(value: object) -> str:
    """A user's value in a message: its repr, cut short, or its type if repr raises, as for an int of 5000 digits."""
    try:
        text = repr(value)
    except Exception:
        return f"of type {type(value).__name__}"
    return text if len(text) <= SHORT else text[:SHORT] + "…"


def text_of(error: BaseException) -> str:
    """The text of the exception, cut short."""
    try:
        return _shortened(str(error))
    except Exception:  # __str__ may be the user's code
        return "its text cannot be shown"


def _shortened(text: str) -> str:
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair cannot be printed
