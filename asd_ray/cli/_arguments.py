"""The parser of every verb: its help ends with examples."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import NoReturn

from asd_ray import __version__
from asd_ray._terminal import visible

RUN = "the run's folder, or s3://bucket/folder[?endpoint_override=URL]"
WIDTH = 80  # of the examples; the other text is as wide as the terminal
EXAMPLES = "examples:"


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Breaks the lines of a description, but keeps those of the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES):
            return super()._fill_text(text, width, indent)
        return textwrap.fill(" ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent)


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
        formatter_class=HelpFormatter,
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
        formatter_class=HelpFormatter,
    )
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    return command


def epilog(examples: Sequence[str]) -> str:
    return "\n".join([EXAMPLES, *(line for example in examples for line in _lines(example))])


def _lines(example: str) -> list[str]:
    """An example that is too wide has its comment above it, and is continued in further lines as a shell takes them."""
    command, _, comment = (part.strip() for part in example.partition("  # "))
    whole = f"  {command}  # {comment}" if comment else f"  {command}"
    if len(whole) <= WIDTH:
        return [whole]
    lines = [""]
    for part in re.split(r" (?=--|\| |&& )", command):
        if lines[-1] and len(f"      {lines[-1]} {part} \\") > WIDTH:
            lines.append(part)
        else:
            lines[-1] = f"{lines[-1]} {part}".strip()
    first, *others = lines
    continued = " \\\n      ".join([f"  {first}", *others]).split("\n")
    return [*([f"  # {comment}"] if comment else []), *continued]
