"""How every verb runs: parse, act, and turn an error that the user can fix into one message."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from asd_ray._ending import end_quickly
from asd_ray._terminal import make_ready, say, visible
from asd_ray.cli._weights_option import brought_weights_of
from asd_ray.errors import AsdRayError


def run(command: argparse.ArgumentParser, act: Callable[[argparse.Namespace], int], argv: Sequence[str] | None) -> int:
    """Parse `argv` and call `act`. An AsdRayError or a refusal of the system is one message, with exit status 2."""
    make_ready()
    if argv is None:  # as the program of this process
        end_quickly()
    args = command.parse_args(argv)
    try:
        with brought_weights_of(args):
            status = act(args)
        sys.stdout.flush()
        return status
    except (AsdRayError, OSError) as error:
        _flush_or_drop()
        if isinstance(error, BrokenPipeError):  # `… | head` closed the pipe: no error, but nothing more can be printed
            return 0
        message = str(error) if isinstance(error, AsdRayError) else _system_message(error)
        if args.debug:
            say(traceback.format_exc(), lines=True, error=True)
        say(f"{command.prog}: {_on_one_line(message, sys.argv[1:] if argv is None else argv)}", lines=True, error=True)
        return 2
    except KeyboardInterrupt:
        say(f"{command.prog}: interrupted", error=True)
        return 130


def run_action(command: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """`run` for a verb with sub-verbs: each of them has set `act` as a default of its parser."""
    return run(command, lambda args: int(args.act(args)), argv)


def _flush_or_drop() -> None:
    """Print the rest of the output, or drop it if it cannot be printed (a full disk, a closed pipe).

    Otherwise Python would try again when it ends, and report an error of its own.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_message(error: OSError) -> str:
    """The message for an error of the system: a name that is too long, links in a circle, a full disk.

    An error without a path comes from a write to something that is already open, such as standard output.
    """
    if error.filename is None:
        why = error.strerror or error
        return f"the system refused: {why}; free some space, or check where the output goes (--debug shows what wrote)"
    return f"{os.fsdecode(error.filename)}: {error.strerror}; name another path, or check its disk"


def _on_one_line(message: str, words: Sequence[str]) -> str:
    r"""The message, which may have several lines, with ``\n`` for a line break inside a word of the command line."""
    for name in (part for word in words for part in (word, word.partition("=")[2])):  # the value of --option=NAME, too
        if "\n" in name:
            message = message.replace(name, visible(name))
    return message
