"""What every verb shares: a parser whose help ends with examples, and one way to fail."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from asd_ray import __version__
from asd_ray._terminal import make_ready, say, visible
from asd_ray.errors import AsdRayError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Parser(argparse.ArgumentParser):
    """Shows an argument that it refuses as it is spelled."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def parser(verb: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of ``asd-ray <verb>``; `examples` are whole command lines, shown last in ``--help``."""
    made = Parser(
        prog=f"asd-ray {verb}",
        description=description,
        epilog=epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"asd_ray {__version__}")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return made


def subparser(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """One sub-verb such as ``check`` of ``asd-ray data check``, with examples of its own."""
    made = actions.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    return made


def positive(text: str) -> int:
    """For `type=` of an option that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 but got {text!r}")
    return int(text)


def local_path(text: str) -> Path:
    """Of a file or folder that only this computer can hold."""
    from asd_ray.storage.places import local

    try:
        return local(text, "it")
    except AsdRayError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def names(text: str) -> list[str]:
    """Of families: "a,b"."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"must name one at least, but got {text!r}; leave it out for the default")
    return found


def duration(text: str) -> float:
    """30m -> seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"must be a number with s, m, h or d, such as 30m, but got {text!r}")
    return float(found[1]) * UNITS[found[2]]


def amount(text: str) -> float:
    """Of CPUs or GPUs."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    is_share = value <= 1 and value == round(value, 4)  # Ray knows no finer one
    if value < 0 or not (is_share or value.is_integer()):
        raise argparse.ArgumentTypeError(
            f"must be a share up to 1 in steps of 0.0001, or a whole number, but got {text!r}"
        )
    return value


def gib(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be GiB from 0, such as 4, but got {text!r}")
    return value


def above_0(text: str) -> float:
    value = amount(text)
    if not value:
        raise argparse.ArgumentTypeError(f"must be above 0, for every trial computes, but got {text!r}")
    return value


def seed_number(text: str) -> int:
    if not text.isdecimal() or len(text) > 10 or int(text) >= 2**32:  # scikit-learn takes no larger one
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {2**32 - 1} but got {text!r}")
    return int(text)


def epilog(examples: Sequence[str]) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in examples)


def run(made: argparse.ArgumentParser, act: Callable[[argparse.Namespace], int], argv: Sequence[str] | None) -> int:
    """Parse, act, and turn what the user can fix into one message and exit status 2."""
    make_ready()
    args = made.parse_args(argv)
    try:
        status = act(args)
        sys.stdout.flush()
        return status
    except (AsdRayError, OSError) as error:
        _flush_or_drop()
        if isinstance(error, BrokenPipeError):  # `… | head` closed the pipe: no error, but nothing more can be printed
            return 0
        message = str(error) if isinstance(error, AsdRayError) else _of_system(error)
        if args.debug:
            say(traceback.format_exc(), lines=True, error=True)
        say(f"{made.prog}: {_on_one_line(message, sys.argv[1:] if argv is None else argv)}", lines=True, error=True)
        return 2
    except KeyboardInterrupt:
        say(f"{made.prog}: interrupted", error=True)
        return 130


def _flush_or_drop() -> None:
    """Print what is left to print. What cannot be printed, to a full disk or a closed pipe, is dropped: Python tries
    it again at its end, and would report that as an error of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_system(error: OSError) -> str:
    """What the system refuses, whatever asked for it: too long a name, a link in a circle, a full disk.

    An error without a path is of a write to something open already, such as standard output.
    """
    if error.filename is None:
        why = error.strerror or error
        return f"the system refused: {why}; free some space, or check where the output goes (--debug shows what wrote)"
    return f"{os.fsdecode(error.filename)}: {error.strerror}; name another path, or check its disk"


def _on_one_line(message: str, words: Sequence[str]) -> str:
    """A message of several lines is fine; a line break within a name that was given to the command is spelled out."""
    for name in (part for word in words for part in (word, word.partition("=")[2])):  # --option=NAME, too
        if "\n" in name:
            message = message.replace(name, visible(name))
    return message
