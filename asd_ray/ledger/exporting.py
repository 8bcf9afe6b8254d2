"""Write the ledger's scores as one long table, for spreadsheets and for `import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asd_ray._csv import CsvWriter
from asd_ray.errors import AsdRayError
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.ledger.schema import SPLITS
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.trial_file import Entry, FileError, read_trial
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import check_text, is_address, storage_error

COLUMNS = ("system", "machine", "id", "domain", "split", "clip", "label", "variant", "score", "family", "trial")
CURE = "name another file as TABLE"
BATCH = 500_000  # rows written at once


@dataclass
class Exported:
    trials: int = 0
    rows: int = 0
    left_out: int = 0  # trials whose files are broken
    years: set[int | None] = field(default_factory=set)  # DCASE years whose cells evaluate the trials


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
    """Write the chosen trials to a .csv or .parquet file, which is complete or does not exist.

    A trial whose file is broken is left out, with a warning. `system` is the trial's name; its hash is added if two
    trials of a machine have the same name.
    """
    path = Path(path)
    if is_address(path):
        raise AsdRayError(f"{path}: an export is a file on a local disk; name one such as all.csv and copy it there")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise AsdRayError(f"{path}: an export ends in .csv or .parquet, so that its format is known")
    check_text(path)
    refuse_own_folder(path, CURE)
    ledger.check_known(machine, family)
    entries = [entry for entry in ledger.entries(machine, family) if entry.record.status in statuses]
    exported = Exported()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside, _writer(aside, path.suffix.lower()) as writer:
            for table in _batches(_tables(ledger, entries, splits, best_variants, exported)):
                writer.write_table(table)
                exported.rows += len(table)
    except OSError as error:
        raise storage_error(error, path, "the export", CURE) from error
    return exported


def _writer(path: Path, suffix: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in COLUMNS])
    if suffix == ".csv":
        return CsvWriter(path, schema)
    return pq.ParquetWriter(path, schema, compression="zstd")


def _tables(
    ledger: Ledger, entries: Sequence[Entry], splits: Sequence[str], best_variants: bool, exported: Exported
) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    trials_of_name = Counter((entry.record.machine, entry.record.name) for entry in entries)
    for entry in entries:
        record = entry.record
        is_unique = trials_of_name[record.machine, record.name] == 1
        constant = {
            "system": record.name if is_unique else f"{record.name}-{record.trial}",
            "machine": record.machine,
            "family": record.family,
            "trial": record.trial,
        }
        by_split = _rows(ledger, entry, splits)
        if by_split is None:
            exported.left_out += 1
            continue
        exported.trials += 1
        if record.settings:
            exported.years.add(record.settings.year)
        for rows in by_split.values():
            if best_variants and record.variant:
                rows = rows.filter(pc.equal(rows["variant"], record.variant))
            yield pa.table(
                {
                    name: pa.repeat(pa.scalar(constant[name]), len(rows)) if name in constant else rows[name]
                    for name in COLUMNS
                }
            )


def _rows(ledger: Ledger, entry: Entry, splits: Sequence[str]) -> dict[str, Any] | None:
    """A trial's rows; None if its file is broken and no other file has the trial."""
    try:
        return read_trial(ledger.files, entry, splits)
    except FileNotFoundError:  # moved by a compaction: the ledger looks for it again below
        pass
    except FileError as error:
        ledger.leave_out(entry.stored, error)
    return ledger.rows_if_any(entry.record, splits)


def _batches(tables: Iterator[Any]) -> Iterator[Any]:
    import pyarrow as pa

    waiting: list[Any] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= BATCH:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
