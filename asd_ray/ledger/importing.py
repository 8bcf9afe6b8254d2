"""Other people's systems join the ledger: long tables, and folders of official submission files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.long_table import DEFAULTS, read_long_table
from asd_ray.ledger.record import TrialRecord, trial_hash
from asd_ray.ledger.schema import COLUMNS, checked, clips_digest
from asd_ray.ledger.store import Ledger

if TYPE_CHECKING:
    import pandas as pd

FAMILY = "import"


@dataclass
class ImportReport:
    stored: list[TrialRecord] = field(default_factory=list)
    present: list[TrialRecord] = field(default_factory=list)  # the very same scores were in the ledger already
    rows: int = 0
    notes: list[str] = field(default_factory=list)  # not wrong, but worth knowing


def import_table(ledger: Ledger, path: str | Path) -> ImportReport:
    """Store every (system, machine) of a CSV or Parquet table as one trial; nothing is stored if anything is wrong.

    Columns: system, machine, id or section, clip or file, score; optional domain (source, target), split (default
    test), label (normal, anomaly, 0, 1; default unknown), variant. Others are ignored.
    """
    path = Path(path)
    return _store(ledger, read_long_table(path), path.name)


def import_submission(ledger: Ledger, folder: str | Path, year: int, truth: str | Path | None = None) -> ImportReport:
    """Store an official submission folder; with the folder of the ground truth also its labels and domains."""
    from asd_ray.metrics.submission import match, read_submission, read_truth  # pandas and scikit-learn: only here

    submission = read_submission(Path(folder), year)
    if truth is not None:
        frame = match(read_truth(Path(truth), year), submission, scores_only=True)
        frame["label"] = frame["label"].map({0: "normal", 1: "anomaly"})
    else:
        if submission.problems:
            raise AsdRayError(f"{folder} cannot be imported; nothing was stored:\n{listing(submission.problems, 50)}")
        frame = submission.scores.copy()
    frame["system"] = submission.system
    for name, default in DEFAULTS.items():
        if name not in frame:
            frame[name] = default
    return _store(ledger, frame, f"dcase{submission.year}")


def _store(ledger: Ledger, frame: pd.DataFrame, origin: str) -> ImportReport:
    """Check everything, then commit: importing again after a kill ends with the same ledger."""
    report = ImportReport()
    made = [
        _trial(str(system), str(machine), rows, origin, report)
        for (system, machine), rows in frame.groupby(["system", "machine"], sort=True)
    ]
    known = {(record.machine, record.name): record.trial for record in ledger.records(family=FAMILY)}
    for record, rows in made:
        before = known.get((record.machine, record.name), record.trial)
        if before != record.trial:
            report.notes.append(
                f"{record.name} of {record.machine} was imported before with other scores, as {before}; both are kept"
            )
        new = not ledger.has(record.machine, FAMILY, record.trial) and ledger.commit(record, rows)
        (report.stored if new else report.present).append(record)
    return report


def _trial(
    system: str, machine: str, rows: pd.DataFrame, origin: str, report: ImportReport
) -> tuple[TrialRecord, pd.DataFrame]:
    table = rows[list(COLUMNS)]
    variants = sorted(table["variant"].unique())
    by_split = checked(table, f"{system} of {machine}")
    report.rows += len(table)
    ties = table["score"].nunique() - table["score"].astype("float32").nunique()
    if ties > 0:
        report.notes.append(f"{system} of {machine}: {ties} more ties among the scores as float32 than as given")
    record = TrialRecord(
        trial=trial_hash(source="import", system=system, machine=machine, scores=_digest(by_split)),
        name=system,
        machine=machine,
        family=FAMILY,
        params={"system": system},
        variant=variants[0] if len(variants) == 1 else "",
        source="import",
        dataset=origin,
    )
    return record, table


def _digest(by_split: dict[str, Any]) -> str:
    """A hash of the rows, whatever their order was."""
    made = hashlib.blake2b(digest_size=16)
    for split, rows in sorted(by_split.items()):
        made.update(f"{split} {clips_digest(rows)} {','.join(rows['variant'].to_pylist())}".encode())
        made.update(rows["score"].to_numpy().tobytes())
    return made.hexdigest()
