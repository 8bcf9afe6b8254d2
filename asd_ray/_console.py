"""The console of all tables and live displays. It never reads a name as markup."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import rich.console
from rich.text import Text

from asd_ray._terminal import visible


class Console(rich.console.Console):
    """rich's console without markup: printed lines, cells, titles and heads of tables appear as they are.

    Each string is one line. `flagged` gives styled words; ``style=`` styles a whole line.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "markup": False, "highlight": False, "emoji": False})

    def render_str(self, text: str, **options: Any) -> Text:
        """rich calls this for every string that it prints."""
        return super().render_str(visible(text), **{**options, "markup": False, "highlight": False, "emoji": False})

    def out(self, *objects: Any, sep: str = " ", end: str = "\n", **options: Any) -> None:
        """Print text with any number of lines, without wrapping."""
        text = Text(sep.join(visible(part, lines=True) for part in objects))
        self.print(text, no_wrap=True, overflow="ignore", crop=False, end=end)


def console(pipe: int = 160, *, soft_wrap: bool = False, stderr: bool = False) -> Console:
    """A console as wide as the terminal; `pipe` columns if the output is no terminal, so that nothing is cut off."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(width=None if stream.isatty() else pipe, soft_wrap=soft_wrap, stderr=stderr)


def is_live(screen: Console) -> bool:
    """Whether a live display works: on a terminal, and in a notebook that has ipywidgets."""
    return screen.is_terminal or (screen.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


def several_lines(*parts: str) -> Text:
    """Text with several lines, such as the head of a column."""
    return Text("\n".join(visible(part) for part in parts if part))


def flagged(word: str, text: object, colour: str) -> Text:
    """``warning: text`` with the first word in colour."""
    return Text.assemble((visible(word), colour), f": {visible(text)}")
