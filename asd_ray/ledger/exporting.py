"""The ledger's scores as one long table, which spreadsheets open and `import` takes back."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_ray._csv import CsvWriter
from asd_ray.errors import AsdRayError
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.ledger.schema import SPLITS
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.trial_file import Entry, FileError, read_trial
from asd_ray.storage.places import check_text, is_address, refuse

COLUMNS = ("system", "machine", "id", "domain", "split", "clip", "label", "variant", "score", "family", "trial")
CURE = "name another file as TABLE"
BATCH = 500_000  # rows written at once


@dataclass
class Exported:
    trials: int = 0
    rows: int = 0
    left_out: int = 0  # trials whose files are broken


def export_table(
    ledger: Ledger,
    path: str | Path,
    *,
    machine: str | None = None,
    family: str | None = None,
    splits: Sequence[str] = SPLITS,
    statuses: Sequence[str] = ("complete",),
    best_variants: bool = False,
) -> Exported:
    """Write the chosen trials to a .csv or .parquet file, which is whole or not there.

    A trial whose file turns out broken is named in a warning and left out.

    `system` is the trial's name, with its hash where two trials of a machine have one name.
    """
    path = Path(path)
    if is_address(path):
        raise AsdRayError(f"{path}: an export is a file on a local disk; name one such as all.csv and copy it there")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise AsdRayError(f"{path}: an export ends in .csv or .parquet, so that its format is known")
    check_text(path)
    refuse_own_folder(path, CURE)
    ledger.check_known(machine, family)
    chosen = [entry for entry in ledger.entries(machine, family) if entry.record.status in statuses]
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    done = Exported()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writer(aside, path.suffix.lower()) as writer:
            for table in _batches(_tables(ledger, chosen, splits, best_variants, done)):
                writer.write_table(table)
                done.rows += len(table)
        os.replace(aside, path)
    except OSError as error:
        refuse(str(path), error, CURE)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return done


def _writer(path: Path, suffix: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in COLUMNS])
    if suffix == ".csv":
        return CsvWriter(path, schema)
    return pq.ParquetWriter(path, schema, compression="zstd")


def _tables(
    ledger: Ledger, entries: Sequence[Entry], splits: Sequence[str], best_variants: bool, done: Exported
) -> Iterator[Any]:
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
        by_split = _rows(ledger, entry, splits)
        if by_split is None:
            done.left_out += 1
            continue
        done.trials += 1
        for rows in by_split.values():
            if best_variants and record.variant:
                rows = rows.filter(pc.equal(rows["variant"], record.variant))
            yield pa.table(
                {name: pa.repeat(pa.scalar(same[name]), len(rows)) if name in same else rows[name] for name in COLUMNS}
            )


def _rows(ledger: Ledger, entry: Entry, splits: Sequence[str]) -> dict[str, Any] | None:
    """A trial's rows; None if its file is broken and no other holds it."""
    try:
        return read_trial(ledger.files, entry, splits)
    except FileNotFoundError:  # moved by a compaction: the ledger looks again
        pass
    except FileError as error:
        ledger.leave_out(entry.stored, error)
    return ledger.rows_if_any(entry.record, splits)


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
