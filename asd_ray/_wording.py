"""Messages name options as the command line has them; a caller from Python is told the names of arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from asd_ray.errors import AsdRayError

OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")
COMMAND = re.compile(r"\b(?:asd-ray|pip|python) .*")  # to the end of its line: it stays as a shell takes it
# options whose arguments have other names
ARGUMENTS = {"space": "spaces", "run": "Run", "recipe": "recipes", "set": "fixed_params"}


def as_arguments(text: str) -> str:
    """``--held-out must be …`` -> ``held_out must be …``."""
    return "\n".join(map(_line_as_arguments, text.split("\n")))


def _line_as_arguments(line: str) -> str:
    command = COMMAND.search(line)
    end = command.start() if command else len(line)
    return OPTION.sub(lambda match: ARGUMENTS.get(match[1], match[1].replace("-", "_")), line[:end]) + line[end:]


@contextmanager
def for_python() -> Iterator[None]:
    """Errors of the block name arguments in place of options."""
    try:
        yield
    except AsdRayError as error:
        error.args = (as_arguments(str(error)),)  # the same error, because a subclass may need more than a message
        raise
