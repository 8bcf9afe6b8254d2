"""The ledger's scores as one long table, which spreadsheets open and `import` takes back."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.ledger.files import refuse
from asd_ray.ledger.schema import SPLITS
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.trial_file import Entry, FileError, read_trial

COLUMNS = ("system", "machine", "id", "domain", "split", "clip", "label", "variant", "score", "family", "trial")
BATCH = 500_000  # rows written at once


def export_table(
    ledger: Ledger,
    path: str | Path,
    *,
    machine: str | None = None,
    family: str | None = None,
    splits: Sequence[str] = SPLITS,
    statuses: Sequence[str] = ("complete",),
    best_variants: bool = False,
) -> tuple[int, int]:
    """Write the chosen trials to a .csv or .parquet file, which is whole or not there; (trials, rows) written.

    `system` is the trial's name, with its hash where two trials of a machine have one name.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise AsdRayError(f"{path}: an export ends in .csv or .parquet, so that its format is known")
    chosen = [entry for entry in ledger.entries(machine, family) if entry.record.status in statuses]
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    rows = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writer(aside, path.suffix.lower()) as writer:
            for table in _batches(_tables(ledger, chosen, splits, best_variants)):
                writer.write_table(table)
                rows += len(table)
        os.replace(aside, path)
    except OSError as error:
        refuse(str(path), error)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return len(chosen), rows


def _writer(path: Path, suffix: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    schema = pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in COLUMNS])
    if suffix == ".csv":
        return csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="needed"))
    return pq.ParquetWriter(path, schema, compression="zstd")


def _tables(ledger: Ledger, entries: Sequence[Entry], splits: Sequence[str], best_variants: bool) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    named = Counter((entry.record.machine, entry.record.name) for entry in entries)
    for entry in entries:
        record = entry.record
        alone = named[record.machine, record.name] == 1
        same = {
            "system": record.name if alone else f"{record.name}-{record.trial}",
            "machine": record.machine,
            "family": record.family,
            "trial": record.trial,
        }
        try:
            by_split = read_trial(ledger.files, entry, splits)
        except (FileNotFoundError, FileError):  # moved by a compaction, or broken: the ledger looks again, or says so
            by_split = ledger.rows(record, splits)
        for rows in by_split.values():
            if best_variants and record.variant:
                rows = rows.filter(pc.equal(rows["variant"], record.variant))
            yield pa.table(
                {name: pa.repeat(pa.scalar(same[name]), len(rows)) if name in same else rows[name] for name in COLUMNS}
            )


def _batches(tables: Iterator[Any]) -> Iterator[Any]:
    import pyarrow as pa

    waiting: list[Any] = []
    for table in tables:
        waiting.append(table)
        if sum(len(each) for each in waiting) >= BATCH:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
