"""A table of a paper that was run, as one page: our numbers beside the published ones, and what differs.

The page needs no other file and no network, as the report does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError, StorageError
from asd_ray.papers.measure import RULES
from asd_ray.reporting.html import environment, together
from asd_ray.reporting.terms import Terms
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import obstacle, storage_error

if TYPE_CHECKING:
    from asd_ray.experiments import Number, PaperResult

GENERATOR = "asd_ray paper"  # marks our page, so that no other file is replaced
MARK = f'<meta name="generator" content="{GENERATOR}">'
HEAD = 4096  # bytes at the start of a page that contain the mark
CURE = "name another file with --html"


def paper_page(result: PaperResult) -> str:
    """The page of a result. Rows without a number of ours keep the published ones."""
    table = result.table
    rule = f"average ({RULES[table.rule]})" if table.rule else ""
    return (
        environment()
        .get_template("paper.html")
        .render(
            generator=GENERATOR,
            style=together(("style.css", "words.css")),
            term=Terms(),
            paper=result.paper,
            table=table,
            run=result.run,
            blocks=[_block(result, measure.name) for measure in table.measures],
            measures=[str(measure) for measure in table.measures],
            rule=rule,
            rows=[table.row(name) for name in dict.fromkeys(each.row for each in result.numbers)],
            differs=result.differs,
            notes=result.notes,
            left_out=result.left_out,
            failed=result.failed,
            has_difference=any(each.comparable for each in result.numbers),
            has_spread=any(each.spread is not None for each in result.numbers),
        )
    )


def _block(result: PaperResult, measure: str) -> dict[str, Any]:
    """The numbers of one measure: a group of lines per row, a column per machine, the average last."""
    own = [each for each in result.numbers if each.measure == measure]
    columns = list(dict.fromkeys(each.machine for each in own))
    rows = [
        {"name": row, "title": result.table.row(row).title, "lines": list(_lines(of_row, columns))}
        for row in dict.fromkeys(each.row for each in own)
        for of_row in [[each for each in own if each.row == row]]
    ]
    return {"measure": measure, "columns": columns, "rows": rows}


def _lines(numbers: Sequence[Number], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The published numbers of a row, ours, the difference where they can be compared, the spread of several seeds."""
    of = {each.machine: each for each in numbers}
    seeds = max(len(each.ours) for each in numbers)
    kinds = {"published": "published"}
    if seeds:
        kinds["mean"] = "ours" if seeds == 1 else f"ours, mean of {seeds} seeds"
    if any(each.comparable for each in numbers):
        kinds["difference"] = "difference"
    if seeds > 1:
        kinds["spread"] = "spread"
    for kind, name in kinds.items():
        values = [getattr(of[column], kind) if column in of else None for column in columns]
        yield {"kind": kind, "name": name, "values": values}


def check_paper_page(path: Path) -> None:
    """Raise if no page can be written to `path`. Called before a run that takes hours."""
    if path.name == "":
        raise AsdRayError(f"--html {path}: name a file, such as paper.html")
    if rule := obstacle(path):
        raise StorageError(f"{path}: cannot write the page, since {rule}; {CURE}")
    if not path.parent.is_dir():
        raise StorageError(f"{path}: there is no folder {path.parent}; make it, or {CURE}")
    if path.exists() and not _is_ours(path):
        raise AsdRayError(
            f"{path} exists and was not written by asd-ray paper, which would replace it; {CURE}, or move it away"
        )


def write_paper_page(result: PaperResult, path: Path) -> None:
    """Write the page of a result, completely or not at all. A file that is no such page is never replaced."""
    check_paper_page(path)
    try:
        with written_aside(path) as aside:
            aside.write_text(paper_page(result), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise storage_error(error, path, "the page", CURE) from error


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK.encode() in file.read(HEAD)
    except OSError:
        return False
