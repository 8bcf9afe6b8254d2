"""What ``asd-ray paper --data`` prints: our numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from asd_ray._console import PlainTable, console, numbers, words
from asd_ray.cli._paper_tables import DASH, WIDTH, average_head, machine_head

if TYPE_CHECKING:
    from asd_ray._console import Console
    from asd_ray.experiments import PaperResult

WORDS = ("row", "machine", "measure")
VALUES = ("published", "ours", "difference", "spread")  # of a record of `PaperResult.records`


def print_result(result: PaperResult) -> None:
    """One block per measure, then what differs for each row, and what was left out."""
    screen, table = console(WIDTH, soft_wrap=False), result.table
    screen.print()
    screen.print(f"{result.paper.citation}, table {table.number}: {table.title}, in %.", style="bold")
    for measure in table.measures:
        _print_numbers(screen, result, measure.name)
    if result.differs:
        lines = PlainTable(words("row"), words("what differs from the paper"))
        for row, reasons in result.differs.items():
            lines.add_row(row, "; ".join(reasons))
        screen.print()
        screen.print(lines)
    screen.print()
    for line in remarks(result):
        screen.print(line)


def _print_numbers(screen: Console, result: PaperResult, measure: str) -> None:
    """Each row as published; below it ours, the difference where they can be compared, the spread of several seeds."""
    from asd_ray.experiments.result import AVERAGE

    records = [record for record in result.records() if record["measure"] == measure]
    columns = list(dict.fromkeys(record["machine"] for record in records))
    heads = [average_head(result.table) if column == AVERAGE else machine_head(column) for column in columns]
    block = PlainTable(words(measure), *map(numbers, heads))
    for row in dict.fromkeys(record["row"] for record in records):
        own = {record["machine"]: record for record in records if record["row"] == row}
        seeds = max(record["seeds"] for record in own.values())
        names = {"published": row}
        if seeds:
            names["ours"] = "  ours"
        if any(record["comparable"] for record in own.values()):
            names["difference"] = "  difference"
        if seeds > 1:
            names["spread"] = f"  spread, {seeds} seeds"
        for value, name in names.items():
            block.add_row(name, *(number(own.get(column, {}), value, result.table.decimals) for column in columns))
    screen.print()
    screen.print(block)


def number(record: Mapping[str, Any], value: str, decimals: int) -> str:
    """A value of a record: a difference with its sign, a dash where there is none."""
    found = record.get(value)
    if found is None:
        return DASH
    return f"{found:{'+' if value == 'difference' else ''}.{decimals}f}"


def remarks(result: PaperResult) -> Iterator[str]:
    """What holds for all rows, and one line for each row or machine that was left out, and for each failed trial."""
    yield from (f"note: {note}" for note in result.notes)
    yield from (f"left out: {reason}" for reason in result.left_out)
    yield from (f"failed: {reason}" for reason in result.failed)
    if any(each.spread is not None for each in result.numbers):
        yield "spread: the standard deviation over the seeds"


def markdown_lines(result: PaperResult) -> Iterator[str]:
    """One line per number, then what differs and what was left out, as lists."""
    from asd_ray.reporting.markdown import plain
    from asd_ray.reporting.markdown import table as markdown_table

    rows = (
        [str(record[word]) for word in WORDS]
        + [number(record, value, result.table.decimals) for value in VALUES]
        + [str(record["seeds"])]
        for record in result.records()
    )
    yield from markdown_table((*WORDS, *VALUES, "seeds"), rows, left=len(WORDS))
    yield ""
    yield from (f"- {plain(row)}: {plain('; '.join(reasons))}" for row, reasons in result.differs.items())
    yield from (f"- {plain(line)}" for line in remarks(result))
