"""One Parquet file of the ledger: trials and their scores in, trials and their scores out.

A file has one trial (``<trial>.parquet``, ``<trial>.failed.parquet``, ``<trial>.pruned.parquet``) or many
(``compact-….parquet``). A row group has one split of one trial, sorted by variant and clip, so a reader reads only the
splits it needs, and only the score column if the clips are known. The records are JSON in the key-value metadata; to
read them, no row is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from asd_ray._json import loads
from asd_ray._shapes import Anything, DictOf, ListOf, Text, Whole, fault, object_of
from asd_ray.errors import AsdRayError, StorageError
from asd_ray.ledger.record import STATUSES, TrialRecord
from asd_ray.ledger.schema import COLUMNS, LATER, SCHEMA_VERSION, SPLITS, STORED, clips_digest, variant_runs
from asd_ray.storage.files import Stored, is_io_error

if TYPE_CHECKING:
    from asd_ray.storage.files import Files

SCHEMA_KEY = b"asd_ray.schema"
TRIALS_KEY = b"asd_ray.trials"
COMPACT = "compact-"  # the prefix of a compact file's name
TAIL = 1 << 16  # bytes: the footer of one trial's file is far smaller, so one read gets it
WHOLE = 1 << 20  # bytes: a smaller file is read in one go
MOST_FOOTER = 64 << 20  # bytes: a larger footer is not ours, and is not read
MOST_RECORDS = 32 << 20  # bytes of JSON in a footer; as Python objects they take up to twenty times as much memory
MOST_ROWS = 1 << 26  # of one split of one trial; a column of equal values can claim any number of rows in a few bytes
SPLIT = object_of(
    row_group=Whole(0, 10**6), variants=ListOf(Text()), rows=ListOf(Whole(1, MOST_ROWS)), clips=ListOf(Text(100))
)
TRIALS = ListOf(object_of(record=Anything(), splits=DictOf(SPLIT, re.compile("|".join(SPLITS)))))


class FileError(AsdRayError):
    """One file of the ledger cannot be used; readers report it and continue."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.reason = reason


class BadFileError(FileError):
    """A file with wrong bytes: it is set aside."""


class UnreadableFileError(FileError, StorageError):
    """A file that cannot be read now (permission, disk or network error, newer version): it stays where it is."""


@dataclass(frozen=True)
class SplitRows:
    """The place of one split of one trial: its row group, and the number of rows of each variant."""

    row_group: int
    variants: tuple[str, ...]
    rows: tuple[int, ...]
    clips: tuple[str, ...]  # clips_digest of each variant

    def slices(self) -> dict[str, slice]:
        """variant -> its rows within the row group."""
        starts = _starts(self.rows)
        return {v: slice(start, start + n) for v, start, n in zip(self.variants, starts, self.rows, strict=True)}

    @property
    def total(self) -> int:
        return sum(self.rows)


@dataclass(frozen=True)
class Entry:
    """One trial in one file."""

    record: TrialRecord
    stored: Stored
    splits: dict[str, SplitRows] = field(default_factory=dict)

    @property
    def is_compact(self) -> bool:
        return is_compact(self.stored.path)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.record.machine, self.record.family, self.record.trial

    @property
    def rank(self) -> tuple[int, bool, str, str]:
        """The larger counts if a trial is in two files: complete before failed, then a single file, which is newer."""
        return -STATUSES.index(self.record.status), not self.is_compact, self.record.created, self.stored.path


def is_compact(path: str) -> bool:
    return path.rpartition("/")[2].startswith(COMPACT)


def encode(trials: Iterable[tuple[TrialRecord, dict[str, Any]]]) -> Any:
    """The bytes of a file with these records and rows. The rows are by split, as `schema.checked` returns them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([(name, pa.float32() if name == "score" else text) for name in STORED])
    descriptions = []
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=[n for n in STORED if n != "score"],
        write_statistics=False,
        write_page_checksum=True,  # otherwise a flipped bit in a score would not be noticed
    ) as writer:
        row_group = 0
        for record, by_split in trials:
            splits = {}
            for split, rows in by_split.items():
                writer.write_table(_stored_rows(rows, record.trial, schema), row_group_size=len(rows))
                splits[split] = _describe(rows, row_group)
                row_group += 1
            descriptions.append({"record": record.to_dict(), "splits": splits})
        text = json.dumps(descriptions)
        if len(text) > MOST_RECORDS:
            raise AsdRayError(f"the records of {len(descriptions)} trials take {len(text)} bytes, over {MOST_RECORDS}")
        version = max([1, *(LATER.get(split, 1) for each in descriptions for split in each["splits"])])
        writer.add_key_value_metadata({SCHEMA_KEY: str(version), TRIALS_KEY: text})
    return sink.getvalue()


def read_entries(files: Files, stored: Stored) -> list[Entry]:
    """The trials in a file, from its footer only; every type, size and path in it is checked.

    FileNotFoundError if the file is gone, BadFileError if it is not ours, UnreadableFileError if it may be ours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    url = files.layout.url(stored.path)
    if stored.kind:
        raise BadFileError(url, f"is {stored.kind}, not a file")
    footer = _footer(files, stored, url)
    try:
        metadata = pq.read_metadata(pa.BufferReader(footer))
        key_values = metadata.metadata or {}
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise BadFileError(url, f"not a complete Parquet file ({_first_line(error)})") from error
    entries = parse_metadata(key_values, stored, url)
    if not entries:
        raise BadFileError(url, "holds no trial")
    if (wrong := _wrong_columns(metadata.schema)) and any(entry.splits for entry in entries):
        raise BadFileError(url, wrong)
    for entry in entries:
        if problem := _misplaced(files, stored, entry) or _wrong_rows(metadata, entry):
            raise BadFileError(url, problem)
    return entries


def parse_metadata(metadata: dict[bytes, bytes], stored: Stored, url: str) -> list[Entry]:
    """The entries of a file, from its key-value metadata."""
    if SCHEMA_KEY not in metadata or TRIALS_KEY not in metadata:
        raise BadFileError(url, "a Parquet file, but without the record of a trial: not a file of this ledger")
    version = metadata[SCHEMA_KEY][:20].decode(errors="replace")
    if re.fullmatch("[0-9]{1,9}", version) and int(version) > SCHEMA_VERSION:
        raise UnreadableFileError(
            url, f"written by a newer asd_ray (schema {version}, this one reads {SCHEMA_VERSION}); upgrade asd_ray"
        )
    if version not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise BadFileError(url, f"its schema version is {version!r}")
    try:
        described = loads(metadata[TRIALS_KEY], "the record in its metadata", most_bytes=MOST_RECORDS)
        if problem := fault(TRIALS, described, "trials"):
            raise AsdRayError(f"the record in its metadata is wrong: {problem}")
        return [_entry(TrialRecord.from_dict(trial["record"]), trial["splits"], stored) for trial in described]
    except AsdRayError as error:
        raise BadFileError(url, str(error)) from error


def _entry(record: TrialRecord, splits: dict[str, dict[str, Any]], stored: Stored) -> Entry:
    rows_by_split = {}
    for split, where in splits.items():
        rows = SplitRows(where["row_group"], tuple(where["variants"]), tuple(where["rows"]), tuple(where["clips"]))
        if not len(rows.variants) == len(rows.rows) == len(rows.clips) or len(set(rows.variants)) < len(rows.variants):
            raise AsdRayError(f"the {split} rows of {record.name} are not described variant by variant")
        if not 0 < rows.total <= MOST_ROWS:
            raise AsdRayError(f"{record.name} has {rows.total} {split} rows, where 1 to {MOST_ROWS} are possible")
        rows_by_split[split] = rows
    check_scored(record, {variant for rows in rows_by_split.values() for variant in rows.variants})
    return Entry(record, stored, rows_by_split)


def check_scored(record: TrialRecord, variants: Collection[str]) -> None:
    """Raise if a trial of this status cannot have scores of these variants."""
    if record.status == "complete" and not variants:
        raise AsdRayError(f"{record} is complete but has no scores; give them, or store it as failed")
    if record.status == "failed" and variants:
        raise AsdRayError(f"{record} failed but has scores; a failed trial is stored without")
    if record.variant and variants and record.variant not in variants:
        raise AsdRayError(f"{record} names {record.variant!r} as its best variant, but has {sorted(variants)}")


def _misplaced(files: Files, stored: Stored, entry: Entry) -> str:
    expected = stored.path if entry.is_compact else files.layout.trial_file(*entry.key, entry.record.status)
    if stored.path == expected and stored.path.startswith(files.layout.family_folder(*entry.key[:2]) + "/"):
        return ""
    return f"holds {entry.record}, which belongs in {files.layout.url(expected)}"


def _wrong_rows(metadata: Any, entry: Entry) -> str:
    for rows in entry.splits.values():
        if rows.row_group >= metadata.num_row_groups or rows.total != metadata.row_group(rows.row_group).num_rows:
            return f"its rows are not the rows that its record of {entry.record.name} describes"
    return ""


def _wrong_columns(schema: Any) -> str:
    """Checks only the names; `read_rows` checks the types of the columns that it reads."""
    names = tuple(schema.names)
    return "" if names == STORED else f"its columns are {', '.join(names[:20])!a:.300}, not {', '.join(STORED)}"


def read_rows(files: Files, stored: Stored, row_groups: Sequence[int], columns: Sequence[str] = COLUMNS) -> list[Any]:
    """The tables of some row groups of a file. The file is opened once; errors are those of `read_entries`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not row_groups:
        return []
    url = files.layout.url(stored.path)
    try:
        with files.open(stored.path) as source:
            is_small = source.size() <= WHOLE
            opened = pq.ParquetFile(
                pa.BufferReader(source.read_buffer()) if is_small else source,
                pre_buffer=not is_small,
                page_checksum_verification=True,
            )
            sizes = [opened.metadata.row_group(group).num_rows for group in row_groups]
            if sum(sizes) > MOST_ROWS * len(SPLITS):
                raise BadFileError(url, f"claims {sum(sizes)} rows")
            table = opened.read_row_groups(list(row_groups), columns=list(columns), use_threads=False)
            table.validate(full=True)  # raises for text that is not UTF-8
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, IndexError, UnicodeDecodeError, MemoryError) as error:
        if isinstance(error, OSError) and is_io_error(error):
            raise _cannot_read(files, url, error) from error
        raise BadFileError(url, f"its rows cannot be read ({_first_line(error)})") from error
    if problem := _misread(table, columns, sum(sizes)):
        raise BadFileError(url, f"its rows cannot be read ({problem})")
    return [table.slice(start, size) for start, size in zip(_starts(sizes), sizes, strict=True)]


def _misread(table: Any, columns: Sequence[str], rows: int) -> str:
    """Why a table is not the requested one: pyarrow leaves out columns that do not exist."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if sorted(table.column_names) != sorted(columns) or len(table) != rows:
        return f"{len(table)} rows of {', '.join(table.column_names)}"
    for name in columns:
        column = table[name]
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_float32(kind) if name == "score" else pa.types.is_string(kind)):
            return f"{name} is of type {kind}"
        if column.null_count or (kind != column.type and any(chunk.dictionary.null_count for chunk in column.chunks)):
            return f"values of {name} are missing"
    if "score" in columns and not pc.all(pc.is_finite(table["score"]), min_count=0).as_py():
        return "some scores are not finite"
    return ""


def read_trial(files: Files, entry: Entry, splits: Sequence[str] = SPLITS) -> dict[str, Any]:
    """The rows of one trial by split, with text as plain text, sorted by variant and clip."""
    import pyarrow as pa

    wanted = [split for split in SPLITS if split in splits and split in entry.splits]
    tables = read_rows(files, entry.stored, [entry.splits[split].row_group for split in wanted])
    plain = pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in COLUMNS])
    return {split: table.cast(plain) for split, table in zip(wanted, tables, strict=True)}


def _footer(files: Files, stored: Stored, url: str) -> Any:
    """The last bytes of a file, with all of its footer."""
    import pyarrow as pa

    try:
        with files.open(stored.path) as source:
            size = source.size()
            tail = _last(source, size, TAIL)
            needed = int.from_bytes(tail[-8:-4], "little") + 12 if len(tail) >= 12 else 0
            if needed > MOST_FOOTER:
                raise BadFileError(url, f"not a Parquet file of a ledger: its footer claims {needed} bytes")
            if len(tail) < needed <= size:
                tail = _last(source, size, needed)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _cannot_read(files, url, error) from error
    return pa.py_buffer(tail)


def _last(source: Any, size: int, count: int) -> bytes:
    source.seek(max(0, size - count))
    content: bytes = source.read()
    return content


def _stored_rows(rows: Any, trial: str, schema: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array([trial]))
    columns = [rows[column] if column == "score" else rows[column].dictionary_encode() for column in COLUMNS]
    return pa.table([name, *columns], schema=schema)


def _describe(rows: Any, row_group: int) -> dict[str, Any]:
    variants, counts = variant_runs(rows)
    digests = [clips_digest(rows.slice(start, count)) for start, count in zip(_starts(counts), counts, strict=True)]
    return {"row_group": row_group, "variants": variants, "rows": counts, "clips": digests}


def _starts(sizes: Sequence[int]) -> list[int]:
    return [0, *accumulate(sizes)][: len(sizes)]


def _cannot_read(files: Files, url: str, error: OSError) -> AsdRayError:
    """On S3 a failed read is an outage and must not look like a smaller ledger; on a disk it is only this file."""
    reason = f"cannot be read ({_first_line(error)}); check the disk, the network and the permissions"
    return StorageError(f"{url}: {reason}") if files.layout.is_s3 else UnreadableFileError(url, reason)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
