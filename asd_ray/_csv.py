"""All CSV files that we write: spreadsheets run no cell as a formula, and `import` reads every cell back unchanged.

Text that begins like a formula gets an apostrophe before it, which spreadsheets take as "this is text". Numbers stay as
they are, negative ones too. If the text has apostrophes before such a beginning, it gets one more, so reading it back
means removing one apostrophe.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MARK = "'"
BEGINS = " *[=+\\-@\t\r\n\0＝＋－＠]"  # how a formula begins, as OWASP lists it; wide forms and leading blanks count
FORMULA = f"^(?:'+{BEGINS}|{BEGINS})"  # both patterns use only syntax that Python and Arrow share
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_formula, _number, _marked = re.compile(FORMULA), re.compile(NUMBER[:-1] + r"\Z"), re.compile(f"'+{BEGINS}")


def harmless(cell: Any) -> Any:
    """A cell as it is written: text that begins like a formula is marked, anything else stays."""
    if not isinstance(cell, str) or not _formula.match(cell) or _number.match(cell):
        return cell
    return MARK + cell


def restored(text: str) -> str:
    """The inverse of `harmless`, for a cell that was read."""
    return text[1:] if _marked.match(text) else text


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """A table with every column that any row has, in the order of their first appearance."""
    table = list(rows)
    names = list(dict.fromkeys(name for row in table for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([harmless(name) for name in names])
    writer.writerows([harmless(row.get(name, "")) for name in names] for row in table)
    return out.getvalue()


def csv_line(cells: Iterable[Any]) -> str:
    """One row, for a table that is printed as it comes."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([harmless(cell) for cell in cells])
    return out.getvalue()


def official_csv(rows: Iterable[tuple[Any, ...]]) -> str:
    """A submission file: rows without a header, every cell unchanged, because evaluators match clips by name.

    No cell begins like a formula: `write_submission` refuses clips without an official name, which begins with a
    letter, and the other column is a number.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a DataFrame. Bytes of a file's name that are not UTF-8 are written as they are."""
    texts = {name: frame[name].map(harmless) for name in frame.columns if frame[name].dtype.kind not in "biuf"}
    frame.assign(**texts).to_csv(path, index=False, errors="surrogateescape")


class CsvWriter:
    """Writes Arrow tables one after the other, like `pyarrow.csv.CSVWriter`, with marked cells."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow import csv as arrow_csv

        options = arrow_csv.WriteOptions(quoting_style="needed")
        self._writer = arrow_csv.CSVWriter(path, schema, write_options=options)

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write_table(self, table: pa.Table) -> None:
        for at, field in enumerate(table.schema):
            if str(field.type) == "string":
                table = table.set_column(at, field, _harmless_column(table.column(at)))
        self._writer.write_table(table)


def _harmless_column(column: Any) -> Any:
    import pyarrow.compute as pc

    formulas = pc.match_substring_regex(column, FORMULA)
    if not pc.any(formulas).as_py():
        return column
    marked = pc.and_not(formulas, pc.match_substring_regex(column, NUMBER))
    return pc.if_else(marked, pc.binary_join_element_wise(MARK, column, ""), column)
