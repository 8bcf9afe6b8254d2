"""The tables that ``asd-ray paper`` prints, 80 columns wide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asd_ray._console import PlainTable, console, numbers, several_lines, words

if TYPE_CHECKING:
    from asd_ray._console import Console
    from asd_ray.papers import Paper, PaperTable

WIDTH = 80  # of output that is no terminal
DASH = "-"
SHORT = {"development": "dev", "evaluation": "eval"}


def print_overview(records: Iterable[Mapping[str, Any]]) -> None:
    """One line per table of every paper."""
    counts = (numbers("rows"), numbers(several_lines("can be", "run")))
    table = PlainTable(*map(words, ("paper", "by", "table", "data")), *counts)
    for record in records:
        data = f"{record['dataset']} {SHORT[record['split']]}" if "dataset" in record else DASH
        rows, runnable = str(record["rows"]), str(record["can be run"])
        table.add_row(record["paper"], record["by"], record["table"], data, rows, runnable)
    console(WIDTH, soft_wrap=False).print(table)


def print_tables(paper: Paper, tables: Sequence[PaperTable]) -> None:
    screen = console(WIDTH, soft_wrap=False)
    screen.print(f"{paper.authors}: {paper.title}. {paper.venue} {paper.year}.", style="bold")
    if paper.note:
        screen.print(paper.note)
    for table in tables:
        screen.print()
        screen.print(f"Table {table.number}: {table.title}. {table.dataset}, {table.split} set, in %.", style="bold")
        if table.note:
            screen.print(table.note)
        _print_numbers(screen, table)
        _print_rows(screen, table)


def _print_numbers(screen: Console, table: PaperTable) -> None:
    """One block per measure: with all measures side by side, a line would not fit."""
    averages = [average_head(table)] if table.rule else []
    blocks = range(len(table.measures)) if table.machines else [None]  # totals alone fit into one block
    for at in blocks:
        heads = [measure.name for measure in table.measures] if at is None else map(machine_head, table.machines)
        columns = map(numbers, [*heads, *(averages if at is not None else [])])
        block = PlainTable(words("" if at is None else table.measures[at].name), *columns)
        for row in table.rows:
            values = row.average if at is None else [row.values[machine][at] for machine in table.machines]
            if at is not None and averages:
                values = [*values, *row.average[at : at + 1]]
            block.add_row(row.name, *(f"{value:.{table.decimals}f}" for value in values))
        screen.print()
        screen.print(block)


def average_head(table: PaperTable) -> Any:
    """The rule by which the table averages machines, as the head of a column."""
    from asd_ray.papers.measure import RULES

    return several_lines(*RULES[table.rule].removeprefix("arithmetic ").split())


def machine_head(machine: str) -> Any:
    """A machine as the head of a column, ToyConveyor on two lines."""
    return several_lines(*re.findall(r"Toy|(?:(?!Toy).)+", machine))


def _print_rows(screen: Console, table: PaperTable) -> None:
    """How to get each row here, and what the paper did otherwise."""
    lines = PlainTable(*map(words, ("row", "here", "in the paper")))
    for row in table.rows:
        lines.add_row(row.name, row.here, row.protocol)
    screen.print()
    screen.print(lines)


def markdown_lines(table: PaperTable) -> Iterator[str]:
    """The lines of the table in Markdown: words first, then the numbers."""
    from asd_ray.reporting.markdown import table as markdown_table

    machines = [f"{machine} {measure.name}" for machine in table.machines for measure in table.measures]
    averages = [f"average {measure.name}" for measure in table.measures] if table.rule else []
    rows = (
        [row.name, row.here, row.protocol]
        + [f"{value:.{table.decimals}f}" for machine in table.machines for value in row.values[machine]]
        + [f"{value:.{table.decimals}f}" for value in row.average]
        for row in table.rows
    )
    return markdown_table(("row", "here", "in the paper", *machines, *averages), rows, left=3)
