"""Tables that `ledger import` is given by others: one message names what is wrong, and nothing is stored half."""

from __future__ import annotations

import datetime
import decimal
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_ray.ledger import Ledger

from ..hostile import Verbs, bounded, digests

HEADER = "system,machine,id,clip,label,score"
GOOD = {"system": "A", "machine": "fan", "id": "00", "clip": "a.wav", "label": "0", "score": "0.5"}


def csv(*rows: dict[str, str], header: str = HEADER) -> bytes:
    return "\n".join([header, *(",".join((GOOD | row).values()) for row in rows), ""]).encode()


FIRST = {"clip": "first.wav"}  # a good row before the bad one: it must not be stored either
CSV: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a CSV table"),
    "blank lines": (b"  \n \n\n", "column system is missing"),
    "commas": (b",,,\n,,,\n", "column system is missing"),
    "only a header": (csv(), "the table has no row"),
    "no header": (b"A,fan,00,a.wav,0,0.5\n", "column system is missing"),
    "no score": (csv(GOOD, header="system,machine,id,clip,label,s"), "column score or anomaly_score is missing"),
    "a column twice": (csv(GOOD, header="system,machine,id,clip,clip,score"), "clip and clip mean the same"),
    "20,000 columns": (",".join(f"c{n}" for n in range(20_000)).encode() + b"\n", "column system is missing"),
    "a header with a terminal escape": (csv(GOOD, header="\x1b[2J,machine,id,clip,label,score"), "\\x1b[2J, machine"),
    "no UTF-8": (csv(FIRST) + b"A,fan,00,\xff.wav,0,1\n", "UTF-8"),
    "UTF-16": (csv(GOOD).decode().encode("utf-16"), "UTF-8"),
    "half a surrogate pair": (csv(FIRST) + b"A,fan,00,\xed\xa0\x80.wav,0,1\n", "UTF-8"),
    "compressed": (b"\x1f\x8b\x08" + os.urandom(200), "CSV"),
    "Parquet called CSV": (b"PAR1" + b"\0" * 50 + b"PAR1", "not a CSV table"),
    "a NUL in a clip": (csv(FIRST, {"clip": "a\0.wav"}), "line 3: clip holds a NUL character"),
    "a NUL in a system": (csv(FIRST, {"system": "B\0"}), "line 3: system holds a NUL character"),
    "a system of 20,000 letters": (csv(FIRST, {"system": "x" * 20_000}), "line 3: system is longer than 1000"),
    "a clip of 2 MB": (csv(FIRST, {"clip": "x" * 2_000_000}), "line 3: clip is longer than 1000"),
    "a label of 2 MB": (csv(FIRST, {"label": "x" * 2_000_000}), "line 3: label 'xxx"),
    "a machine with a space": (csv(FIRST, {"machine": "a b"}), "line 3: the machine name 'a b' must be"),
    "a machine that leads elsewhere": (csv(FIRST, {"machine": "../x"}), "line 3: the machine name '../x' must be"),
    "a machine of two dots": (csv(FIRST, {"machine": ".."}), "line 3: the machine name '..' must be"),
    "a machine with an umlaut": (csv(FIRST, {"machine": "\u00fcnit"}), "line 3: the machine name"),
    "a machine of 20,000 letters": (csv(FIRST, {"machine": "x" * 20_000}), "line 3: the machine name 'xxx"),
    "3,000 wrong machines": (csv(*({"machine": f"m {n}"} for n in range(3000))), "one of 2980 more"),
    "3,000 wrong labels": (csv(*({"label": f"l{n}", "clip": str(n)} for n in range(3000))), "one of 2980 more"),
    "an unknown label": (csv(FIRST, {"label": "broken"}), "line 3: label 'broken' is not one of"),
    "a label that is 2": (csv(FIRST, {"label": "2"}), "line 3: label '2' is not one of"),
    "a score that is nan": (csv(FIRST, {"score": "nan"}), "line 3: the score is not a finite number"),
    "a score of 1e400": (csv(FIRST, {"score": "1e400"}), "line 3: the score is not a finite number"),
    "a score of 1e39": (csv(FIRST, {"score": "1e39"}), "line 3: the score is not a finite number"),
    "a score of 5,000 digits": (csv(FIRST, {"score": "9" * 5000}), "line 3: the score is not a finite number"),
    "a score in hexadecimal": (csv(FIRST, {"score": "0x10"}), "line 3: the score is not a finite number"),
    "no score in a row": (csv(FIRST, {"score": ""}), "line 3: the score is not a finite number"),
    "one row twice": (csv(GOOD, GOOD), "line 3: the clip is in the table already"),
    "an open quotation mark": (csv(FIRST, {"clip": '"b.wav'}, {"clip": "c.wav"}), "is a quotation mark left open"),
    "rows of other lengths": (csv(FIRST) + b"A,fan\n", "line 3: 2 instead of 6 values"),
}


def test_a_good_table_is_stored(verbs: Verbs, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(csv(FIRST, GOOD))
    assert verbs("ledger", "import", tmp_path / "run", tmp_path / "t.csv").status == 0
    assert len(Ledger(tmp_path / "run").records()) == 1


@pytest.mark.parametrize("kind", CSV)
def test_a_bad_csv_table_is_refused_in_one_message(verbs: Verbs, tmp_path: Path, kind: str) -> None:
    content, words = CSV[kind]
    (tmp_path / "t.csv").write_bytes(content)
    with bounded(seconds=20, gib=1):
        answer = verbs.refused(
            *("ledger", "import", tmp_path / "run", tmp_path / "t.csv"),
            words=(str(tmp_path / "t.csv"), words),
            lines=52,
        )
    assert len(answer.err) < 12_000
    assert answer.err.replace("\n", "").isprintable()
    assert not (tmp_path / "run").exists()


def table(**columns: Any) -> pa.Table:
    two = {"system": ["A", "B"], "machine": ["fan"] * 2, "id": ["00"] * 2, "clip": ["a", "b"], "score": [0.5, 1.0]}
    return pa.table(two | columns)


def binary(text: bytes) -> pa.Array:
    """Text that is no UTF-8: Parquet does not look."""
    offsets = pa.py_buffer(np.array([0, len(text), len(text)], np.int32).tobytes())
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(text)])


NOW = datetime.datetime(2026, 1, 1)
PARQUET: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "no columns": (lambda: pa.table({}), "column system is missing"),
    "no rows": (lambda: table().slice(0, 0), "the table has no row"),
    "a column twice": (lambda: table().append_column("clip", pa.array(["a", "b"])), "clip and clip mean the same"),
    "scores that are lists": (lambda: table(score=[[1.0], [2.0]]), "column 'score' is of type list"),
    "scores that are objects": (lambda: table(score=[{"a": 1}] * 2), "column 'score' is of type struct"),
    "scores that are true": (lambda: table(score=[True, False]), "column 'score' is of type bool"),
    "scores that are times": (lambda: table(score=[NOW] * 2), "column 'score' is of type timestamp"),
    "scores that are bytes": (lambda: table(score=[b"1", b"\xff"]), "column 'score' is of type binary"),
    "scores that are missing": (lambda: table(score=pa.nulls(2)), "rows 1, 2: the score is not a finite number"),
    "a score that is NaN": (lambda: table(score=[1.0, float("nan")]), "row 2: the score is not a finite number"),
    "a score of 1e300": (lambda: table(score=[1.0, 1e300]), "row 2: the score is not a finite number"),
    "a score that is text": (lambda: table(score=["1", "x"]), "row 2: the score is not a finite number"),
    "labels that are bytes": (lambda: table(label=[b"normal", b"\xff"]), "column 'label' is of type binary"),
    "labels that are lists": (lambda: table(label=[["a"]] * 2), "column 'label' is of type list"),
    "labels between": (lambda: table(label=[0.5, 1.0]), "row 1: label '0.5' is not one of"),
    "machines that are numbers": (lambda: table(machine=[1, 2]), "column 'machine' is of type int64"),
    "machines that are bytes": (lambda: table(machine=[b"fan"] * 2), "column 'machine' is of type binary"),
    "variants that are lists": (lambda: table(variant=[["x"]] * 2), "column 'variant' is of type list"),
    "a variant that is missing": (lambda: table(variant=["x", None]), "row 2: variant is empty"),
    "clips of no UTF-8": (lambda: table(clip=binary(b"\xff\xfe")), "not a Parquet file that can be read"),
    "a clip with a NUL": (lambda: table(clip=["a", "b\0"]), "row 2: clip holds a NUL character"),
    "a machine that leads elsewhere": (lambda: table(machine=["fan", "../x"]), "row 2: the machine name"),
}
TAKEN: dict[str, Callable[[], pa.Table]] = {
    "enormous whole numbers": lambda: table(score=pa.array([2**63 - 1, -(2**63)])),
    "unsigned whole numbers": lambda: table(score=pa.array([2**64 - 1, 0], pa.uint64())),
    "decimals": lambda: table(score=[decimal.Decimal(1), decimal.Decimal("9" * 30)]),
    "half precision": lambda: table(score=pa.array(np.array([1, 2], np.float16))),
    "scores as a dictionary": lambda: table(score=pa.array([1.0, 2.0]).dictionary_encode()),
    "text as a dictionary": lambda: table(clip=pa.array(["a", "b"]).dictionary_encode()),
    "large text": lambda: table(clip=pa.array(["a", "b"], pa.large_string())),
    "columns of other types beside": lambda: table(more=[[{"a": [1]}]] * 2),
    "metadata of another pandas": lambda: table().replace_schema_metadata({b"pandas": b"[" * 100_000}),
    "an index that is the score": lambda: table().replace_schema_metadata(
        {b"pandas": b'{"index_columns": ["score"], "columns": 5, "column_indexes": []}'}
    ),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_a_bad_parquet_table_is_refused_in_one_message(verbs: Verbs, tmp_path: Path, kind: str) -> None:
    make, words = PARQUET[kind]
    path = tmp_path / "t.parquet"
    pq.write_table(make(), path)
    with bounded(gib=1):
        verbs.refused("ledger", "import", tmp_path / "run", path, words=(str(path), words))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", TAKEN)
def test_an_unusual_parquet_table_is_stored(verbs: Verbs, tmp_path: Path, kind: str) -> None:
    pq.write_table(TAKEN[kind](), tmp_path / "t.parquet")
    answer = verbs("ledger", "import", tmp_path / "run", tmp_path / "t.parquet")
    assert answer.status == 0, answer
    assert verbs("ledger", "verify", tmp_path / "run").status == 0
    assert len(Ledger(tmp_path / "run").records()) == 2


@pytest.mark.parametrize("system", ["\x1b[31mB", "B\nC"])
def test_odd_names_are_stored_as_they_are_and_spelled_out_where_they_are_shown(
    verbs: Verbs, tmp_path: Path, system: str
) -> None:
    path = tmp_path / "t\x1b[2J.csv"
    path.write_bytes(csv({"system": f'"{system}"'}))
    assert "\x1b" not in verbs("ledger", "import", tmp_path / "run", path).text
    [record] = Ledger(tmp_path / "run").records()
    assert (record.dataset, record.name) == (path.name, system)
    assert "\x1b" not in verbs("ledger", "ls", tmp_path / "run").text


# -- fuzz: ASD_RAY_FUZZ=5000 tries so many ---------------------------------------------------------------------------

FEW = settings(
    max_examples=int(os.environ.get("ASD_RAY_FUZZ", "40")),
    deadline=None,
    derandomize="ASD_RAY_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CELLS = st.sampled_from(
    ["A", "fan", "00", "a.wav", "0", "1", "0.5", "-1e-9", "", " ", "nan", "inf", "1e400", "../x", "normal", "test", '"']
    + ["a b", "\x1b", "\0", "=1+1", "x" * 300, "\r", '""', "\u00fc", "\u2028", "source", "train", "1_0"]
) | st.text(max_size=4)
COLUMNS = st.sampled_from([*HEADER.split(","), "section", "file", "domain", "split", "variant", "Score ", "", "x", '"'])
TYPED = st.sampled_from(
    [
        pa.array([1, 2]),
        pa.array([True, None]),
        pa.array([[1], []]),
        pa.array([{"a": 1}, None]),
        pa.array([b"\xff", b"a"]),
        pa.array(["fan", "fan"]),
        pa.array(["a", "b"]),
        pa.array(["a", "a"]).dictionary_encode(),
        pa.array([NOW, None]),
        pa.array([0.5, float("inf")]),
        pa.array([2**64 - 1, 0], pa.uint64()),
        pa.nulls(2),
    ]
)


def imported_whole_or_not(verbs: Verbs, folder: Path, path: Path) -> None:
    before = digests(folder / "run")
    with bounded(seconds=20, gib=1):
        answer = verbs("ledger", "import", folder / "run", path)
    assert answer.status in (0, 2)
    assert len(answer.err) < 20_000
    if answer.status == 2:
        assert digests(folder / "run") == before
    else:
        assert verbs("ledger", "verify", folder / "run").status == 0
    shutil.rmtree(folder)


@FEW
@given(
    header=st.lists(COLUMNS, min_size=1, max_size=9) | st.just(HEADER.split(",")),
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=7), max_size=5),
    delimiter=st.sampled_from([",", ";", "\t"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    more=st.binary(max_size=4),
)
def test_no_csv_table_is_stored_half(
    verbs: Verbs,
    tmp_path_factory: pytest.TempPathFactory,
    header: list[str],
    rows: Any,
    delimiter: str,
    newline: str,
    more: bytes,
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    lines = [delimiter.join(each) for each in [header, *rows]]
    (folder / "t.csv").write_bytes(newline.join(lines).encode(errors="replace") + more)
    imported_whole_or_not(verbs, folder, folder / "t.csv")


@FEW
@given(
    columns=st.dictionaries(COLUMNS, TYPED, max_size=3),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=2),
)
def test_no_parquet_table_is_stored_half(
    verbs: Verbs, tmp_path_factory: pytest.TempPathFactory, columns: dict[str, pa.Array], flips: Any
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    pq.write_table(table(**columns), folder / "t.parquet")
    content = bytearray((folder / "t.parquet").read_bytes())
    for where, byte in flips:
        content[int(where * (len(content) - 1))] = byte
    (folder / "t.parquet").write_bytes(content)
    imported_whole_or_not(verbs, folder, folder / "t.parquet")
