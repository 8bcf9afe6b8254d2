"""The parser of every verb: its help ends with examples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from asd_ray import __version__
from asd_ray._terminal import visible

RUN = "the run's folder, or s3://bucket/folder[?endpoint_override=http://host:port]"


class Parser(argparse.ArgumentParser):
    """A parser whose errors show control characters of an argument as escapes."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def parser(verb: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of ``asd-ray <verb>``; `examples` are whole command lines, shown last in ``--help``."""
    command = Parser(
        prog=f"asd-ray {verb}",
        description=description,
        epilog=epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"asd_ray {__version__}")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def subparser(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """The parser of a sub-verb such as ``check`` of ``asd-ray data check``, with its own examples."""
    command = actions.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    return command


def epilog(examples: Sequence[str]) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in examples)
