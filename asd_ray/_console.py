"""The console of all tables and live displays. It never reads a name as markup."""

from __future__ import annotations

import importlib.util
import re
import sys
from typing import Any

import rich.console
from rich.cells import cell_len
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from asd_ray._terminal import visible

# for live displays; other modules do not import rich.console
Group = rich.console.Group
RenderableType = rich.console.RenderableType


class Console(rich.console.Console):
    """rich's console without markup: printed lines, cells, titles and heads of tables appear as they are.

    Each string is one line. `flagged` gives styled words; ``style=`` styles a whole line. Where lines are wrapped, no
    word is broken, so that a path can be copied. Commands to copy are printed with ``soft_wrap=True``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "markup": False, "highlight": False, "emoji": False})

    def print(self, *objects: Any, **options: Any) -> None:
        wraps = not options.get("soft_wrap", self.soft_wrap)
        if wraps and len(objects) == 1 and isinstance(objects[0], str | Text):
            text = self.render_str(objects[0]) if isinstance(objects[0], str) else objects[0]
            objects, options = (_wrapped(text, self.width),), {"overflow": "ignore", **options}
        super().print(*objects, **{"crop": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """rich calls this for every string that it prints."""
        return super().render_str(visible(text), **{**options, "markup": False, "highlight": False, "emoji": False})

    def out(self, *objects: Any, sep: str = " ", end: str = "\n", **options: Any) -> None:
        """Print text with any number of lines, without wrapping."""
        text = Text(sep.join(visible(part, lines=True) for part in objects))
        self.print(text, soft_wrap=True, end=end)


def _wrapped(text: Text, width: int) -> Text:
    return Text("\n").join(part for line in text.split("\n", allow_blank=True) for part in _parts(line, width))


def _parts(line: Text, width: int) -> list[Text]:
    """`line` in parts of at most `width` cells, each indented like the first. A longer word has a part of its own."""
    indent = line.plain[: len(line.plain) - len(line.plain.lstrip())]
    offsets, used = list[int](), 0
    for word in re.finditer(r"\s*\S+\s*", line.plain):
        if used and used + cell_len(word[0].rstrip()) > width:
            offsets.append(word.start())
            used = cell_len(indent)
        used += cell_len(word[0])
    first, *others = line.divide(offsets)
    parts = [first, *(Text(indent).append(part) for part in others)]
    for part in parts:
        part.rstrip()
    return parts


def console(pipe: int = 160, *, soft_wrap: bool | None = None, stderr: bool = False) -> Console:
    """A console as wide as the terminal; `pipe` columns if the output is no terminal, so that nothing is cut off.

    With `soft_wrap` lines of text are not wrapped; by default they are wrapped on a terminal only.
    """
    stream = sys.stderr if stderr else sys.stdout
    on_terminal = stream.isatty()
    wide_lines = not on_terminal if soft_wrap is None else soft_wrap
    return Console(width=None if on_terminal else pipe, soft_wrap=wide_lines, stderr=stderr)


def words(head: str | Text = "") -> Column:
    """A column of names: on a narrow terminal they continue on the next line."""
    return Column(head, overflow="fold")


def numbers(head: str | Text = "") -> Column:
    """A column of numbers: they are never cut and never wrapped."""
    return Column(head, justify="right", no_wrap=True)


def values(head: str | Text = "") -> Column:
    """A column of numbers with words behind them, such as ``0.8123 mse``; never cut, never wrapped."""
    return Column(head, no_wrap=True)


class PlainTable(Table):
    """The table of all verbs: no lines, and whole numbers on a terminal of any width.

    A `wide` one has whole names as well, even if its lines are longer than the terminal is wide.
    """

    def __init__(self, *columns: Column, wide: bool = False) -> None:
        super().__init__(*columns, box=None, pad_edge=False, header_style="bold")
        for column in self.columns:
            column.no_wrap = column.no_wrap or wide

    def __rich_console__(
        self, console: rich.console.Console, options: rich.console.ConsoleOptions
    ) -> rich.console.RenderResult:
        unlimited = options.update(width=10_000)
        needed = 2 * (len(self.columns) - 1)  # the gaps
        for column in self.columns:
            whole = (column.header, *column.cells) if column.no_wrap else (column.header,)
            column.min_width = max(Measurement.get(console, unlimited, each).maximum for each in whole)
            needed += column.min_width
        yield from super().__rich_console__(console, options.update(width=max(needed, options.max_width)))


def is_live(screen: Console) -> bool:
    """Whether a live display works: on a terminal, and in a notebook that has ipywidgets."""
    return screen.is_terminal or (screen.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


def several_lines(*parts: str) -> Text:
    """Text with several lines, such as the head of a column."""
    return Text("\n".join(visible(part) for part in parts if part))


def flagged(word: str, text: object, colour: str) -> Text:
    """``warning: text`` with the first word in colour."""
    return Text.assemble((visible(word), colour), f": {visible(text)}")
