"""Other people's tables of scores: read, put into the ledger's words, and every problem named with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray._names import NAME, wrong_name
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.schema import DOMAINS, LABELS, SPLITS

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
    "score": ("score", "anomaly_score"),
}
DEFAULTS = {"domain": "", "split": "test", "label": "unknown", "variant": "score"}
LABEL_WORDS = {"0": "normal", "1": "anomaly", "0.0": "normal", "1.0": "anomaly", "abnormal": "anomaly", "": "unknown"}
ALLOWED = {"domain": DOMAINS, "split": SPLITS, "label": LABELS}
SHOWN_LINES = 5


@dataclass
class _Read:
    """A table as read, all text but the score, and what is wrong with it so far."""

    path: Path
    frame: pd.DataFrame
    lines: Sequence[int]  # of each row, for messages
    unit: str  # "line" of a CSV file, "row" of a Parquet file
    problems: list[str] = field(default_factory=list)

    def wrong(self, mask: Any, what: str) -> None:
        """Add one problem for all rows of `mask`, with the first of their lines."""
        at = [self.lines[index] for index in mask.to_numpy().nonzero()[0]]
        if at:
            more = f" and {len(at) - SHOWN_LINES} more" if len(at) > SHOWN_LINES else ""
            plural = "s" if len(at) > 1 else ""
            self.problems.append(f"{self.unit}{plural} {', '.join(map(str, at[:SHOWN_LINES]))}{more}: {what}")


def read_long_table(path: Path) -> pd.DataFrame:
    """The checked table with columns system, machine and `schema.COLUMNS`; raises with all problems at once."""
    if not path.is_file():
        raise AsdRayError(f"{path}: no such file; name a CSV or Parquet table, or a folder of submission files")
    if path.suffix.lower() in (".parquet", ".pq"):
        read = _read_parquet(path)
    elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
        read = _read_csv(path)
    else:
        raise AsdRayError(f"{path}: a table ends in .csv, .tsv, .txt, .parquet or .pq, so that its format is known")
    if _name_columns(read):
        _normalise(read)
        _check(read)
    if read.problems:
        raise AsdRayError(f"{path} cannot be imported; nothing was stored:\n{listing(read.problems, most=50)}")
    return read.frame


def _read_csv(path: Path) -> _Read:
    """Every column as text. Lines of the wrong length are named; they are counted by Python's own csv reader."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
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
        read = _Read(path, table.to_pandas(), lines, "line")
        if ragged:
            read.problems += lines.ragged() or [f"{len(ragged)} lines have too few or too many values"]
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError, csv.Error) as error:
        raise AsdRayError(f"{path}: not a CSV table in UTF-8 with a header line ({error})") from error
    return read


class _Lines(Sequence[int]):
    """The line in the file of each whole row. Counting takes as long as reading: only when a line must be named."""

    def __init__(self, path: Path, delimiter: str, columns: int) -> None:
        self._path, self._delimiter, self._columns = path, delimiter, columns
        self._lines: list[int] = []

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        """(first line, last line, number of values) of each row but the header; an empty line is no row."""
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
            self._lines = [first for first, _, count in self._rows() if count == self._columns]
        return self._lines[index]

    def __len__(self) -> int:
        raise TypeError("lines are not counted until one is asked for")


def _read_parquet(path: Path) -> _Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise AsdRayError(f"{path}: not a Parquet file that can be read ({error})") from error
    read = _Read(path, table.to_pandas(), range(1, len(table) + 1), "row")
    wanted = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    for name in table.column_names:
        kind = table.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        target = wanted.get(name.strip().lower())
        if target in ("id", "clip", "system", "machine") and not (
            pa.types.is_string(kind) or pa.types.is_large_string(kind)
        ):
            read.problems.append(f"column {name!r} is of type {kind}; store it as text, such as '00', not as a number")
    return read


def _name_columns(read: _Read) -> bool:
    """Rename aliases and drop what is not ours; whether all columns that are needed are there."""
    problems = len(read.problems)
    chosen: dict[str, str] = {}
    for name, aliases in ALIASES.items():
        found = [column for column in read.frame.columns if str(column).strip().lower() in aliases]
        if len(found) > 1:
            read.problems.append(f"columns {' and '.join(found)} mean the same; keep one")
        elif found:
            chosen[found[0]] = name
        elif name not in DEFAULTS:
            header = ", ".join(map(str, read.frame.columns))
            read.problems.append(
                f"the column {' or '.join(aliases)} is missing (the header is {header}); for official submission files "
                "name their folder, with --year"
            )
    read.frame = read.frame[list(chosen)].rename(columns=chosen)
    return len(read.problems) == problems


def _normalise(read: _Read) -> None:
    """Trim text, and say labels, ids and what was left out in the ledger's words."""
    import pandas as pd

    frame = read.frame
    for name, default in DEFAULTS.items():
        if name not in frame:
            frame[name] = default
    for name in frame.columns.drop("score"):
        frame[name] = frame[name].astype("str").where(frame[name].notna(), "").str.strip()
    for name in ("domain", "split", "label"):
        frame[name] = frame[name].str.lower()
    frame["label"] = frame["label"].replace(LABEL_WORDS)
    frame["id"] = frame["id"].str.replace(re.compile(r"^(?:id|section)_"), "", regex=True)
    if not pd.api.types.is_numeric_dtype(frame["score"]):
        frame["score"] = [_float(value) for value in frame["score"]]


def _check(read: _Read) -> None:
    import numpy as np

    frame = read.frame
    if not len(frame):
        read.problems.append("the table has no row")
    for name in ("system", "machine", "id", "clip", "variant"):
        read.wrong(frame[name] == "", f"{name} is empty")
    for machine in frame["machine"].unique():
        if machine and not NAME.fullmatch(machine):
            read.wrong(frame["machine"] == machine, wrong_name("machine", machine))
    for each in frame["id"].unique():
        if each and not NAME.fullmatch(each):  # official submission files are named by it
            read.wrong(frame["id"] == each, wrong_name("id", each, "because it names a file of a submission"))
    for name, allowed in ALLOWED.items():
        for word in sorted(set(frame[name].unique()) - set(allowed)):
            read.wrong(frame[name] == word, f"{name} {word!r} is not one of {', '.join(map(repr, allowed))}")
    with np.errstate(over="ignore"):
        finite = np.isfinite(frame["score"].astype("float32"))
    read.wrong(~finite, "the score is not a finite number (float32)")
    twice = frame.duplicated(["system", "machine", "variant", "split", "clip"])
    of_one_id = frame.duplicated(["system", "machine", "variant", "split", "clip", "id"])
    read.wrong(of_one_id, "the clip stands in the table before, for the same system, machine, variant and split")
    read.wrong(
        twice & ~of_one_id,
        "the clip stands in the table before, under another id; use the path below the machine's folder as clip",
    )


def _float(value: Any) -> float:
    """As in the official files, where Python's 1_000 is no number either."""
    try:
        return float("nan" if "_" in str(value) else value)
    except (TypeError, ValueError):
        return float("nan")
