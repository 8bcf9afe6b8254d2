"""The console of every table and live display: the only one, so no name is ever read as markup."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import rich.console
from rich.text import Text

from asd_ray._terminal import visible


class Console(rich.console.Console):
    """rich's, which takes every string as it is: printed lines, cells, titles and heads of tables alike.

    Each string is one line. Styled words come from `flagged`; ``style=`` styles a whole line.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**{**how, "markup": False, "highlight": False, "emoji": False})

    def render_str(self, text: str, **how: Any) -> Text:
        """rich calls it for every string that it is given."""
        return super().render_str(visible(text), **{**how, "markup": False, "highlight": False, "emoji": False})

    def out(self, *objects: Any, sep: str = " ", end: str = "\n", **how: Any) -> None:
        """Text of any number of lines, without wrapping."""
        text = Text(sep.join(visible(each, lines=True) for each in objects))
        self.print(text, no_wrap=True, overflow="ignore", crop=False, end=end)


def console(pipe: int = 160, *, soft_wrap: bool = False, stderr: bool = False) -> Console:
    """As wide as the terminal; where the output is none, `pipe` columns, so that nothing is cut off there."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(width=None if stream.isatty() else pipe, soft_wrap=soft_wrap, stderr=stderr)


def is_live(screen: Console) -> bool:
    """Whether what moves can be shown: on a terminal, and in a notebook that has ipywidgets."""
    return screen.is_terminal or (screen.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


def several_lines(*parts: str) -> Text:
    """The head of a column, say, that has more than one line."""
    return Text("\n".join(visible(part) for part in parts if part))


def flagged(word: str, text: object, colour: str) -> Text:
    """``warning: text`` with the first word in colour."""
    return Text.assemble((visible(word), colour), f": {visible(text)}")
