"""Files in a ledger that nobody's asd_ray wrote: every reader ignores them by name, `verify` finds each of them."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.ledger import Ledger, compact
from asd_ray.ledger.trial_file import MOST_FOOTER, SCHEMA_KEY, TRIALS_KEY

from ..hostile import Verbs, bounded
from .conftest import make_trial
from .footers import OTHERS, described, fill, put_at, rewrite, victim

LONG = "x" * 5000
DEEP = b'[{"record":' + b"[" * 200_000


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    fill(Ledger(folder), make_trial)
    return folder


@pytest.fixture
def run_of_six(template: Path, run: Path) -> Ledger:
    shutil.copytree(template, run)
    return Ledger(run)


def others_are_shown(verbs: Verbs, ledger: Ledger, path: Path) -> None:
    """Every reader goes on without the file at `path`; verify finds it, sets it aside and is clean the next time."""
    run = ledger.layout.base
    answer = verbs("ledger", "ls", run, "--json")
    assert answer.status == 0
    assert [record["number"] for record in json.loads(answer.out)] == list(range(OTHERS))
    assert answer.err.count(str(path)) <= 2, answer.err
    assert len(answer.err) < 3000
    found = verbs("ledger", "verify", run)
    assert found.status == 1, found
    assert str(path) in found.out
    assert len(found.out) < 3000
    assert not os.path.lexists(path)
    again = verbs("ledger", "verify", run)
    assert (again.status, again.err) == (0, "")
    assert Path(ledger.layout.set_aside_file(str(path))).parent.is_dir()


RECORDS: dict[str, tuple[str, object]] = {
    "a name that is a number": ("record.name", 5),
    "a name that is null": ("record.name", None),
    "a name of a searched trial that leads elsewhere": ("record.name", "../../x"),
    "a very long name": ("record.name", LONG),
    "no name": ("record.name", ...),
    "a machine that is a list": ("record.machine", ["fan"]),
    "a machine that leads elsewhere": ("record.machine", "../fan"),
    "a family of another folder": ("record.family", "idnn"),
    "a hash that is no hash": ("record.trial", "../t1"),
    "another hash": ("record.trial", "t000000000000"),
    "an unknown status": ("record.status", "done"),
    "a status that is a list": ("record.status", []),
    "failed, but with scores": ("record.status", "failed"),
    "an unknown source": ("record.source", "web"),
    "a protocol that is an object": ("record.protocol", {}),
    "a negative number": ("record.number", -1),
    "a number that is text": ("record.number", "5"),
    "a number that is a fraction": ("record.number", 5.5),
    "a number that is true": ("record.number", True),
    "a number of 400 digits": ("record.number", 10**400),
    "seconds that are text": ("record.seconds", "x"),
    "negative seconds": ("record.seconds", -1.0),
    "seconds of the age of the universe": ("record.seconds", 1e300),
    "memory that is a list": ("record.peak_memory_mb", [1]),
    "an objective that is text": ("record.objective", "0.5"),
    "an objective beyond every number": ("record.objective", 1e308),
    "an objective that is true": ("record.objective", True),
    "parts that are a list": ("record.objective_parts", [0.5]),
    "a part that is text": ("record.objective_parts", {"00/auc": "high"}),
    "intermediate values that are a list": ("record.intermediate", [0.5]),
    "an intermediate value of no epoch": ("record.intermediate", {"one": 0.5}),
    "an intermediate value of a negative epoch": ("record.intermediate", {"-1": 0.5}),
    "an intermediate value that is an object": ("record.intermediate", {"1": {}}),
    "parameters that are text": ("record.params", "lr=1"),
    "a parameter that is a list": ("record.params", {"lr": [1]}),
    "a parameter that is an object": ("record.params", {"lr": {"a": 1}}),
    "a seed that is text": ("record.seed", "0"),
    "a seed of 400 digits": ("record.seed", 10**400),
    "epochs that are a fraction": ("record.epochs", 1.5),
    "an unknown best variant": ("record.variant", "nothing"),
    "a best variant that is a number": ("record.variant", 1),
    "an error that is an object": ("record.error", {"text": "x"}),
    "versions that are text": ("record.versions", "torch 2"),
    "a version that is null": ("record.versions", {"torch": None}),
    "a dataset that is a number": ("record.dataset", 2020),
    "a dataset of 5,000 letters": ("record.dataset", LONG),
    "a date that is a number": ("record.created", 1700000000),
    "a date that is none": ("record.created", "yesterday"),
    "a date in the year 1": ("record.created", "0001-01-01T00:00:00+00:00"),
    "a date in the year 9999": ("record.created", "9999-12-31T23:59:59+00:00"),
    "an extra that is a list": ("record.extra", []),
    "settings that are text": ("record.settings", "x"),
    "a year that is text": ("record.settings.year", "2020"),
    "a checkpoint that is a list": ("record.settings.checkpoint", ["last"]),
    "machines that are a number": ("record.machines", 5),
    "machines that are an empty list": ("record.machines", []),
    "paper that is text": ("record.paper", "yes"),
    "a node that is a list": ("record.node", []),
    "a version that is a number": ("record.version", 1),
    "settings of 0.1 that are text": ("record.extra.settings", "x"),
    "a year of 0.1 that is text": ("record.extra.settings", {"year": "2020"}),
    "a checkpoint of 0.1 that is a list": ("record.extra.settings", {"checkpoint": ["last"]}),
    "machines of 0.1 that are a number": ("record.extra.machines", 5),
    "machines of 0.1 that are an empty list": ("record.extra.machines", []),
    "machines among the fields of a later version": ("record.machines", 5),
    "a record that is a list": ("record", []),
    "a record that is null": ("record", None),
    "no record": ("record", ...),
    "splits that are a list": ("splits", []),
    "no splits": ("splits", {}),
    "an unknown split": ("splits.validation", {"row_group": 0, "variants": [], "rows": [], "clips": []}),
    "a row group that is text": ("splits.test.row_group", "0"),
    "a row group that is not there": ("splits.test.row_group", 9),
    "a negative row group": ("splits.test.row_group", -1),
    "variants that are a number": ("splits.test.variants", 5),
    "fewer variants than rows": ("splits.test.variants", ["mse"]),
    "a variant twice": ("splits.test.variants", ["mse", "mse"]),
    "rows that are text": ("splits.test.rows", ["24", "24"]),
    "other rows": ("splits.test.rows", [1, 2]),
    "more rows than a file can hold": ("splits.test.rows", [24, 10**15]),
    "no digests": ("splits.test.clips", ...),
    "a digest that is null": ("splits.test.clips", [None, None]),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_of_a_wrong_type_is_ignored_by_name_and_found(run_of_six: Ledger, verbs: Verbs, kind: str) -> None:
    path = victim(run_of_six)
    rewrite(path, put_at(described(path), *RECORDS[kind]))
    broken = path.read_bytes()
    with bounded():
        others_are_shown(verbs, run_of_six, path)
    assert Path(run_of_six.layout.set_aside_file(str(path))).read_bytes() == broken


JSON: dict[str, bytes] = {
    "200,000 nested lists": DEEP,
    "200,000 nested lists that end": DEEP + b"]" * 200_000 + b',"splits":{}}]',
    "200,000 nested objects": b'[{"record":' + b'{"a":' * 200_000,
    "an extra that is nested 100 deep": b'[{"record":{"extra":' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}}]",
    "NaN": b'[{"record": NaN, "splits": {}}]',
    "an object": b"{}",
    "a number": b"5",
    "text": b'"trial"',
    "no UTF-8": b'[{"record": "\xff"}]',
    "a NUL": b"[\0]",
    "a number of 10,000 digits": b"[" + b"9" * 10_000 + b"]",
    "40 MB": b'["' + b"x" * (40 << 20) + b'"]',
    "40 MB of objects": b"[" + b"{}," * (13 << 20) + b"{}]",
}


@pytest.mark.parametrize("kind", JSON)
def test_json_that_no_ledger_wrote_is_ignored_by_name_and_found(run_of_six: Ledger, verbs: Verbs, kind: str) -> None:
    path = victim(run_of_six)
    rewrite(path, JSON[kind])
    with bounded(seconds=20, gib=1.5):
        others_are_shown(verbs, run_of_six, path)


def retyped(name: str, kind: pa.DataType, values: Callable[[pa.Table], Any]) -> Callable[[Path], None]:
    def change(rows: pa.Table) -> pa.Table:
        at = rows.column_names.index(name)
        return rows.set_column(at, name, pa.array(values(rows), kind))

    return lambda path: rewrite(path, change=change)


def with_version(version: bytes) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        table, metadata = pq.read_table(path, partitioning=None), pq.read_metadata(path).metadata
        pq.write_table(table.replace_schema_metadata({**metadata, SCHEMA_KEY: version}), path)

    return act


def huge_footer(path: Path) -> None:
    path.write_bytes(b"PAR1" + b"\0" * (MOST_FOOTER + 100) + struct.pack("<I", MOST_FOOTER + 50) + b"PAR1")


def many_row_groups(path: Path) -> None:
    with pq.ParquetWriter(path, pa.schema([("a", pa.int8())])) as writer:
        for _ in range(3000):
            writer.write_table(pa.table({"a": pa.array([1], pa.int8())}))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x19\xfc\xb8\x17", b"\x19\xfc\xff\xff\xff\x7f"))  # a list of hundreds of millions


def bomb(path: Path) -> None:
    """Rows of one value: 200 million of them in some kilobytes."""
    trials = described(path)
    rows = pq.ParquetFile(path).read_row_group(0)
    many = 200_000_000
    schema = pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in rows.column_names])
    sizes = {"row_group": 0, "variants": ["mse"], "rows": [many], "clips": ["0"]}
    trials[0]["splits"] = {"test": sizes}
    small = pa.table({name: pa.array(rows[name].to_pylist()[:1], schema.field(name).type) for name in schema.names})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(small)
        writer.add_key_value_metadata({SCHEMA_KEY: b"1", TRIALS_KEY: json.dumps(trials).encode()})


PARQUET: dict[str, Callable[[Path], object]] = {
    "zero bytes": lambda path: path.write_bytes(b""),
    "three bytes": lambda path: path.write_bytes(b"PAR"),
    "text": lambda path: path.write_text("clip,score\na.wav,1\n"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "only its end": lambda path: path.write_bytes(path.read_bytes()[-300:]),
    "a footer of more than 64 MiB": huge_footer,
    "millions of row groups claimed": many_row_groups,
    "millions of rows claimed": bomb,
    "no columns of ours": lambda path: pq.write_table(pa.table({"a": [1]}), path),
    "one more column": lambda path: rewrite(path, change=lambda rows: rows.append_column("b", rows["score"])),
    "a column less": lambda path: rewrite(path, change=lambda rows: rows.drop_columns(["label"])),
    "columns in another order": lambda path: rewrite(path, change=lambda rows: rows.select(rows.column_names[::-1])),
    "scores that are text": retyped("score", pa.string(), lambda rows: [str(s) for s in rows["score"].to_pylist()]),
    "scores that are whole numbers": retyped("score", pa.int64(), lambda rows: range(len(rows))),
    "scores in double precision": retyped("score", pa.float64(), lambda rows: rows["score"].to_pylist()),
    "scores that are lists": retyped("score", pa.list_(pa.float32()), lambda rows: [[1.0]] * len(rows)),
    "scores that are not there": retyped("score", pa.float32(), lambda rows: [None] * len(rows)),
    "scores that are NaN": retyped("score", pa.float32(), lambda rows: [float("nan")] * len(rows)),
    "scores that are infinite": retyped("score", pa.float32(), lambda rows: [float("inf")] * len(rows)),
    "clips that are numbers": retyped("clip", pa.int64(), lambda rows: range(len(rows))),
    "clips that are bytes": retyped("clip", pa.binary(), lambda rows: [b"\xff"] * len(rows)),
    "clips that are not there": retyped("clip", pa.string(), lambda rows: [None] * len(rows)),
    "ids that are objects": retyped("id", pa.struct([("a", pa.int8())]), lambda rows: [{"a": 1}] * len(rows)),
    "one clip again and again": retyped("clip", pa.string(), lambda rows: ["a.wav"] * len(rows)),
    "labels that are numbers": retyped("label", pa.int8(), lambda rows: [0] * len(rows)),
    "a variant of another name": retyped("variant", pa.string(), lambda rows: ["other"] * len(rows)),
    "a schema version of 20,000 digits": with_version(b"9" * 20_000),
    "a schema version in superscript": with_version("²".encode()),
    "a negative schema version": with_version(b"-1"),
}
FOUND_BY_VERIFY = {  # they read as rows: only a look at every row tells
    *("scores that are NaN", "scores that are infinite", "one clip again and again", "a variant of another name"),
    *(
        kind
        for kind in PARQUET
        if kind.startswith(("scores that", "scores in", "clips that", "ids that", "labels that"))
    ),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_parquet_that_no_ledger_wrote_is_ignored_by_name_and_found(run_of_six: Ledger, verbs: Verbs, kind: str) -> None:
    path = victim(run_of_six)
    PARQUET[kind](path)
    run = run_of_six.layout.base
    with bounded(gib=1):
        if kind in FOUND_BY_VERIFY:
            assert verbs("ledger", "export", run, Path(run).with_name("all.csv")).status == 0
            assert verbs("ledger", "compact", run).status == 0
            assert verbs("ensemble", "fan", "--run", run, "--by", "train", "--recipe", "best_single").status in (0, 2)
            assert verbs("ledger", "verify", run).status == 1
            assert len(json.loads(verbs("ledger", "ls", run, "--json").out)) == OTHERS
        else:
            others_are_shown(verbs, run_of_six, path)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside.parquet").write_bytes(b"x")


def socket(path: Path) -> None:
    import socket as sockets

    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    with sockets.socket(sockets.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def link(target: str) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        path.unlink()
        path.symlink_to(target.format(name=path.name))

    return act


STRANGE: dict[str, Callable[[Path], None]] = {
    "a FIFO": fifo,
    "a folder": folder,
    "a socket": socket,
    "a device": link("/dev/zero"),
    "a link to itself": link("{name}"),
    "a link to nothing": link("nothing.parquet"),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_never_opened(run_of_six: Ledger, verbs: Verbs, kind: str) -> None:
    path = victim(run_of_six)
    STRANGE[kind](path)
    others_are_shown(verbs, run_of_six, path)


def test_folders_that_lead_to_each_other_are_listed_once(run_of_six: Ledger, verbs: Verbs) -> None:
    inside = Path(run_of_six.layout.ledger)
    for number in range(6):
        (inside / f"machine={number}").symlink_to(inside)
        (inside / "machine=fan" / f"family={number}").symlink_to(inside)
    (inside / "machine=aaa").symlink_to("machine=fan")
    with bounded(seconds=5):
        assert len(json.loads(verbs("ledger", "ls", run_of_six.layout.base, "--json").out)) == OTHERS + 1
        assert verbs("ledger", "verify", run_of_six.layout.base).status == 0


def test_a_run_of_a_folder_on_another_disk_is_read_through_its_link(run_of_six: Ledger, verbs: Verbs) -> None:
    inside = Path(run_of_six.layout.ledger)
    shutil.move(inside / "machine=fan", inside.parent / "elsewhere")
    (inside / "machine=fan").symlink_to(inside.parent / "elsewhere")
    assert len(Ledger(run_of_six.layout).records()) == OTHERS + 1
    assert verbs("ledger", "verify", run_of_six.layout.base).status == 0


def test_a_trial_of_tomorrow_is_read_but_is_a_problem(run_of_six: Ledger, verbs: Verbs) -> None:
    path = victim(run_of_six)
    rewrite(path, put_at(described(path), "record.created", "2299-01-01T00:00:00+00:00"))
    assert len(json.loads(verbs("ledger", "ls", run_of_six.layout.base, "--json").out)) == OTHERS + 1
    found = verbs("ledger", "verify", run_of_six.layout.base)
    assert found.status == 1
    assert f"{path}: created 2299" in found.out
    assert path.exists()


def test_a_name_that_would_move_the_cursor_is_not_printed(run_of_six: Ledger, verbs: Verbs) -> None:
    path = victim(run_of_six)
    rewrite(path, put_at(described(path), "record.name", "\x1b[2J\x1b]0;x\x07"))
    answers = [verbs("ledger", verb, run_of_six.layout.base) for verb in ("ls", "verify")]
    assert not any(character in answer.text for answer in answers for character in "\x1b\x07")


def test_a_wrong_record_in_a_compact_file_is_found_and_the_file_is_kept(run_of_six: Ledger, verbs: Verbs) -> None:
    compact(run_of_six)
    [path] = Path(run_of_six.layout.ledger).rglob("compact-*.parquet")
    rewrite(path, put_at(described(path), "record.seconds", "x"))
    broken = path.read_bytes()
    answer = verbs("ledger", "verify", run_of_six.layout.base)
    assert answer.status == 1
    assert "seconds must be a number" in answer.out
    assert Path(run_of_six.layout.set_aside_file(str(path))).read_bytes() == broken
