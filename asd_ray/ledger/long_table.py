"""Read tables of scores from other software, translate them to the ledger's words, and report every problem by line."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray._csv import MARK, restored
from asd_ray._names import FOLDER, NAME, wrong_name
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.schema import DOMAINS, LABELS, SPLITS
from asd_ray.ledger.trial_file import MOST_ROWS
from asd_ray.storage.places import check_text

if TYPE_CHECKING:
    import pandas as pd

ALIASES = {
    "system": ("system",),
    "machine": ("machine", "machine_type"),
    "id": ("id", "section", "machine_id"),
    "clip": ("clip", "file", "file_name", "filename"),
    "domain": ("domain",),
    "split": ("split",),
    "label": ("label",),
    "variant": ("variant",),
    "family": ("family",),
    "score": ("score", "anomaly_score"),
}
TARGETS = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
DEFAULTS = {"domain": "", "split": "test", "label": "unknown", "variant": "score", "family": "import"}
LABEL_WORDS = {"0": "normal", "1": "anomaly", "0.0": "normal", "1.0": "anomaly", "abnormal": "anomaly", "": "unknown"}
ALLOWED = {"domain": DOMAINS, "split": SPLITS, "label": LABELS}
NAMES = {  # columns whose values become names of files or folders
    "machine": FOLDER,
    "family": FOLDER,
    "id": "because it names a file of a submission",
}
SHOWN_LINES = 5
SHOWN_WORDS = 20
LONGEST = 1000  # characters of a name, the limit of the ledger's records


@dataclass
class _Read:
    """A table that was read, all text except the score, and its problems so far."""

    path: Path
    frame: pd.DataFrame
    lines: Sequence[int]  # the line of each row, for messages
    unit: str  # "line" for a CSV file, "row" for a Parquet file
    header: Sequence[str]  # all columns, for messages
    problems: list[str] = field(default_factory=list)
    has_rows: bool = True  # False if no row was read, because the columns are wrong

    @property
    def is_csv(self) -> bool:
        return self.unit == "line"

    def wrong(self, mask: Any, what: str) -> None:
        """Add one problem for all rows of `mask`, with the first of their lines."""
        lines = [self.lines[index] for index in mask.to_numpy().nonzero()[0]]
        if lines:
            more = f" and {len(lines) - SHOWN_LINES} more" if len(lines) > SHOWN_LINES else ""
            plural = "s" if len(lines) > 1 else ""
            self.problems.append(f"{self.unit}{plural} {', '.join(map(str, lines[:SHOWN_LINES]))}{more}: {what}")


def read_long_table(path: Path) -> pd.DataFrame:
    """The checked table with columns system, machine, family and `schema.COLUMNS`; raises with all problems at once."""
    check_text(path)
    if not path.is_file():
        raise AsdRayError(f"{path}: no such file; name a CSV or Parquet table, or a folder of submission files")
    if path.suffix.lower() in (".parquet", ".pq"):
        read = _read_parquet(path)
    elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
        read = _read_csv(path)
    else:
        raise AsdRayError(f"{path}: a table ends in .csv, .tsv, .txt, .parquet or .pq, so that its format is known")
    if _rename_columns(read) and read.has_rows:
        _normalise(read)
        _check(read)
    if read.problems:
        raise AsdRayError(f"{path} cannot be imported; nothing was stored:\n{listing(read.problems, most=50)}")
    return read.frame


def _read_csv(path: Path) -> _Read:
    """All columns as text. Rows of the wrong length are reported with line numbers, from Python's own csv reader."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        _check_utf8(path)  # Arrow would print a traceback for each row that it skips
        with path.open(newline="", encoding="utf-8-sig") as file:
            skipped, header_line = next(((n, line) for n, line in enumerate(file) if line.strip()), (0, ""))
        delimiter = max(",;\t", key=header_line.count)
        header = next(csv.reader([header_line], delimiter=delimiter), [])
        ragged: list[Any] = []  # rows with too few or too many values

        def skip(row: Any) -> str:
            ragged.append(row)
            return "skip"

        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(use_threads=False, skip_rows=skipped),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
        lines = _Lines(path, delimiter, len(header))
        known = [index for index, name in enumerate(table.column_names) if name.strip().lower() in TARGETS]
        read = _Read(path, table.select(known).to_pandas(), lines, "line", header)
        if ragged:
            read.problems += lines.ragged() or [f"{len(ragged)} lines have too few or too many values"]
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise AsdRayError(f"{path}: not a CSV table in UTF-8 with a header line ({reason:.300})") from error
    return read


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            decoder.decode(chunk)
    decoder.decode(b"", final=True)


class _Lines(Sequence[int]):
    """The line of each complete row. Counting lines takes as long as reading, so it is done only for messages."""

    def __init__(self, path: Path, delimiter: str, columns: int) -> None:
        self._path, self._delimiter, self._columns = path, delimiter, columns
        self._lines: list[int] = []

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        """(first line, last line, number of values) of each row except the header; an empty line is no row."""
        csv.field_size_limit(2**31 - 1)  # Arrow has no limit either
        with self._path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            next((row for row in reader if any(map(str.strip, row))), None)  # the header, after blank lines
            before = reader.line_num
            for row in reader:
                if row:
                    yield before + 1, reader.line_num, len(row)
                before = reader.line_num

    def ragged(self) -> list[str]:
        return [
            f"line {first}: {count} instead of {self._columns} values"
            + (f" (to line {last}: is a quotation mark left open?)" if last > first else "")
            for first, last, count in self._rows()
            if count != self._columns
        ]

    def __getitem__(self, index: Any) -> Any:
        if not self._lines:
            with contextlib.suppress(csv.Error, UnicodeDecodeError):  # such rows were skipped by Arrow, too
                for first, _, count in self._rows():
                    if count == self._columns:
                        self._lines.append(first)
        return self._lines[index] if index < len(self._lines) else index + 2

    def __len__(self) -> int:
        raise TypeError("lines are only counted when a message needs one")


def _read_parquet(path: Path) -> _Read:
    """Only the columns that we use, after a check of their types. Other metadata of the file is ignored."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            header, rows = file.schema_arrow.names, file.metadata.num_rows
            known = [name for name in header if name.strip().lower() in TARGETS]
            read = _Read(path, pd.DataFrame(columns=known), range(1, rows + 1), "row", header)
            for name in known:
                target = TARGETS[name.strip().lower()]
                if problem := _wrong_type(target, kind := _plain_type(file.schema_arrow.types[header.index(name)])):
                    read.problems.append(f"column {name!r} is of type {kind}; {problem}")
            if rows > MOST_ROWS:
                read.problems.append(f"the table has {rows} rows, more than {MOST_ROWS}; split it by machine")
            read.has_rows = not read.problems and len(set(known)) == len(known)
            if not read.has_rows:
                return read
            table = file.read(columns=known)
        table.validate(full=True)  # finds text that is not UTF-8
        read.frame = pd.DataFrame({name: _as_column(table[name], TARGETS[name.strip().lower()]) for name in known})
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AsdRayError(f"{path}: not a Parquet file that can be read ({reason})") from error
    return read


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _wrong_type(target: str, kind: Any) -> str:
    """The cure for a column of a type that cannot be used; "" if the type is fine."""
    from pyarrow import types

    text = types.is_string(kind) or types.is_large_string(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    if target in ("id", "clip", "system", "machine", "family"):
        return "" if text else "store it as text, such as '00', not as a number"
    if text or number or types.is_null(kind) or (types.is_boolean(kind) and target != "score"):
        return ""
    return "store it as numbers" if target == "score" else "store it as text"


def _as_column(column: Any, target: str) -> Any:
    """The column for pandas. Whole numbers beyond 2**53 are rounded, as every score is later."""
    import pyarrow as pa

    kind = _plain_type(column.type)
    if target == "score" and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        column = column.cast(kind).cast(pa.float64(), safe=False)
    return column.to_pandas()


def _rename_columns(read: _Read) -> bool:
    """Rename aliases and drop columns that we do not use. Returns whether all required columns are there."""
    problems_before = len(read.problems)
    chosen: dict[str, str] = {}
    for name, aliases in ALIASES.items():
        columns = [column for column in read.frame.columns if str(column).strip().lower() in aliases]
        if len(columns) > 1:
            read.problems.append(f"columns {' and '.join(columns)} mean the same; keep one")
        elif columns:
            chosen[columns[0]] = name
        elif name not in DEFAULTS:
            header = ", ".join(repr(column)[1:-1] for column in read.header[:30])
            read.problems.append(
                f"the column {' or '.join(aliases)} is missing (the header is {header:.300}); for official submission "
                "files name their folder, with --year"
            )
    read.frame = read.frame[list(chosen)].rename(columns=chosen)
    return len(read.problems) == problems_before


def _normalise(read: _Read) -> None:
    """Trim text, fill in defaults, and translate labels and ids to the ledger's words."""
    import pandas as pd

    frame = read.frame
    for name, default in DEFAULTS.items():
        if name not in frame:
            frame[name] = default
    for name in frame.columns.drop("score"):
        frame[name] = frame[name].astype("str").where(frame[name].notna(), "").str.strip()
        if read.is_csv and frame[name].str.startswith(MARK).any():
            frame[name] = frame[name].map(restored)
    for name in ("domain", "split", "label"):
        frame[name] = frame[name].str.lower()
    frame["label"] = frame["label"].replace(LABEL_WORDS)
    frame["family"] = frame["family"].replace("", DEFAULTS["family"])
    frame["id"] = frame["id"].str.replace(re.compile(r"^(?:id|section)_"), "", regex=True)
    if not pd.api.types.is_numeric_dtype(frame["score"]):
        frame["score"] = [_float(restored(str(value).strip())) for value in frame["score"]]


def _check(read: _Read) -> None:
    import numpy as np

    frame = read.frame
    if not len(frame):
        read.problems.append("the table has no row")
    for name in ("system", "machine", "id", "clip", "variant"):
        read.wrong(frame[name] == "", f"{name} is empty")
        words = frame[name].unique()
        with_nul = [word for word in words if "\0" in word]
        read.wrong(frame[name].isin(with_nul), f"{name} holds a NUL character, which no name may; remove it")
        long = [word for word in words if len(word) > LONGEST]
        read.wrong(frame[name].isin(long), f"{name} is longer than {LONGEST} characters")
    for name, why in NAMES.items():
        wrong = [word for word in frame[name].unique() if word and not NAME.fullmatch(word)]
        _wrong_words(read, name, wrong, [wrong_name(name, word, why) for word in wrong[:SHOWN_WORDS]])
    for name, allowed in ALLOWED.items():
        known = ", ".join(map(repr, allowed))
        wrong = sorted(set(frame[name].unique()) - set(allowed))
        _wrong_words(read, name, wrong, [f"{name} {word[:60]!r} is not one of {known}" for word in wrong[:SHOWN_WORDS]])
    with np.errstate(over="ignore"):
        finite = np.isfinite(frame["score"].astype("float32"))
    read.wrong(~finite, "the score is not a finite number (float32)")
    repeated = frame.duplicated(["system", "machine", "variant", "split", "clip"])
    same_id = frame.duplicated(["system", "machine", "variant", "split", "clip", "id"])
    read.wrong(same_id, "the clip is in the table already, for the same system, machine, variant and split")
    read.wrong(
        repeated & ~same_id,
        "the clip is in the table already, under another id; use the path below the machine's folder as clip",
    )
    first = frame.groupby(["system", "machine"])["family"].transform("first")
    read.wrong(frame["family"] != first, "the family differs from an earlier row of the same system and machine")


def _wrong_words(read: _Read, name: str, words: Sequence[str], problems: Sequence[str]) -> None:
    """One problem for each of the first words and one for all others, since each problem searches the whole column."""
    for word, problem in zip(words, problems, strict=False):
        read.wrong(read.frame[name] == word, problem)
    rest = words[len(problems) :]
    read.wrong(read.frame[name].isin(rest), f"{name} is one of {len(rest)} more that cannot be stored")


def _float(value: Any) -> float:
    """The number; NaN for other text, and for Python's 1_000, which the official files do not allow either."""
    try:
        return float("nan" if "_" in str(value) else value)
    except (TypeError, ValueError):
        return float("nan")
