from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_ray._csv import CsvWriter, csv_text, harmless, official_csv, restored, write_frame

PACKAGE = Path(__file__).parents[1] / "asd_ray"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        *(
            (cell, "'" + cell)
            for cell in ("=cmd()", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "\nx", "＝x", "  =x", "-", "-.")
        ),
        *((cell, cell) for cell in ("-0.5", "+1", "-1e-3", "-.5", "7", "", "x=1", "a-b", "'quoted'", "–", "ü")),
        ("'=x", "''=x"),  # one apostrophe more, so that one can be taken away
        ("'-1", "''-1"),
        ("-1\n", "'-1\n"),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_a_formula_is_marked_and_a_number_is_not(cell: object, written: object) -> None:
    assert harmless(cell) == written
    assert not isinstance(written, str) or restored(written) == cell


texts = st.text(alphabet="=+-@'\t\r\n 1.eEx;,\"＝\0é", max_size=6)


@given(st.lists(texts, min_size=1, max_size=20))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_marking_is_undone_whatever_the_text_and_arrow_marks_the_same(cells: list[str]) -> None:
    from asd_ray._csv import _harmless_column

    marked = [harmless(cell) for cell in cells]
    assert [restored(cell) for cell in marked] == cells
    assert _harmless_column(pa.chunked_array([cells])).to_pylist() == marked


def test_the_three_writers_mark_cells_and_heads(tmp_path: Path) -> None:
    assert csv_text([{"=a": "=x", "b": -1.5}, {"b": "-2", "c": None}]) == "'=a,b,c\n'=x,-1.5,\n,-2,\n"
    frame = pd.DataFrame({"name": ["=x", "-1", "y"], "value": [-1.5, 2.0, 3.0]})
    write_frame(frame, tmp_path / "frame.csv")
    assert (tmp_path / "frame.csv").read_text() == "name,value\n'=x,-1.5\n-1,2.0\ny,3.0\n"
    table = pa.table({"name": ["=x", "-1", "y"], "score": pa.array([-1.5, 2.0, 3.0], pa.float32())})
    with CsvWriter(tmp_path / "arrow.csv", table.schema) as writer:
        writer.write_table(table)
    assert list(csv.reader((tmp_path / "arrow.csv").open()))[1:] == [["'=x", "-1.5"], ["-1", "2"], ["y", "3"]]


def test_a_submission_file_is_exact(tmp_path: Path) -> None:
    rows = [("section_00_0000_a,b.wav", -0.1), ('section_00_0001_"x".wav', 1e-7)]
    assert [(name, float(value)) for name, value in csv.reader(io.StringIO(official_csv(rows)))] == rows
    assert official_csv([("section_00_0000.wav", 0.5)]) == "section_00_0000.wav,0.5\n"


def test_nothing_else_writes_csv() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                if name in ("to_csv", "DictWriter", "CSVWriter", "write_csv") or ast.unparse(node.func) == "csv.writer":
                    found.add(path.relative_to(PACKAGE).as_posix())
    assert found == {"_csv.py"}
