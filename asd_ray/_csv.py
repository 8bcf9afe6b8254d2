"""Every CSV that we write: no cell of it is a formula to a spreadsheet, and `import` reads every cell back unchanged.

A text that begins as a formula does gets an apostrophe before it, which spreadsheets take as "this is text". Numbers,
negative ones too, stay as they are. A text that begins so after apostrophes of its own gets one more, so the way back
is to take one away.
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
BEGINS = " *[=+\\-@\t\r\n\0＝＋－＠]"  # of a formula, as OWASP lists them; wide forms and leading blanks count
FORMULA = f"^(?:'+{BEGINS}|{BEGINS})"  # both patterns in the words that Python and Arrow share
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_formula, _number, _marked = re.compile(FORMULA), re.compile(NUMBER[:-1] + r"\Z"), re.compile(f"'+{BEGINS}")


def harmless(cell: Any) -> Any:
    """A cell as it is written: text that begins as a formula is marked, anything else stays."""
    if not isinstance(cell, str) or not _formula.match(cell) or _number.match(cell):
        return cell
    return MARK + cell


def restored(text: str) -> str:
    """What `harmless` was given, of a cell as it was read."""
    return text[1:] if _marked.match(text) else text


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """With every column that any row has, in the order in which they first came."""
    given = list(rows)
    names = list(dict.fromkeys(name for row in given for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([harmless(name) for name in names])
    writer.writerows([harmless(row.get(name, "")) for name in names] for row in given)
    return out.getvalue()


def official_csv(rows: Iterable[tuple[Any, ...]]) -> str:
    """A submission file: rows without heads, every cell exactly as it is, since evaluators match clips by name.

    `write_submission` refuses every clip without an official name, and these begin with a letter; the other column is
    a number. So no cell begins as a formula.
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """A table of pandas; bytes of a file's name that are no UTF-8 are written as they are."""
    texts = {name: frame[name].map(harmless) for name in frame.columns if frame[name].dtype.kind not in "biuf"}
    frame.assign(**texts).to_csv(path, index=False, errors="surrogateescape")


class CsvWriter:
    """Writes tables of Arrow one after the other; as `pyarrow.csv.CSVWriter`, which it has inside."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow import csv as arrow_csv

        how = arrow_csv.WriteOptions(quoting_style="needed")
        self._writer = arrow_csv.CSVWriter(path, schema, write_options=how)

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(self, *left: object) -> None:
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
