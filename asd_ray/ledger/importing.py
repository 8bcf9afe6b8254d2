"""Other people's systems join the ledger: long tables, and folders of official submission files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.long_table import DEFAULTS, read_long_table
from asd_ray.ledger.record import TrialRecord, trial_hash
from asd_ray.ledger.schema import COLUMNS, checked
from asd_ray.ledger.store import Ledger

if TYPE_CHECKING:
    import pandas as pd

FAMILY = "import"
FACTS = "known_facts"  # how many labels and domains an import came with: one that knows more replaces it


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
    from asd_ray.metrics import match, read_submission, read_truth  # pandas and scikit-learn: only here

    submission = read_submission(Path(folder), year, scores_only=True)
    notes: list[str] = []
    if truth is not None:
        if Path(truth).is_file():
            raise AsdRayError(f"{truth} is a file; name its folder: {Path(truth).parent}")
        notes = [f"left alone: {stray}" for stray in submission.strays]
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
    return _store(ledger, frame, f"dcase{submission.year}", notes)


def _store(ledger: Ledger, frame: pd.DataFrame, origin: str, notes: Sequence[str] = ()) -> ImportReport:
    """Check everything, then commit: importing again after a kill ends with the same ledger."""
    report = ImportReport(notes=list(notes))
    made = [
        _trial(str(system), str(machine), rows, origin, report)
        for (system, machine), rows in frame.groupby(["system", "machine"], sort=True)
    ]
    records = ledger.records(family=FAMILY)
    known = {(record.machine, record.name): record.trial for record in records}
    facts = {(record.machine, record.trial): record.extra.get(FACTS, 0) for record in records}
    for record, rows in made:
        before = known.get((record.machine, record.name), record.trial)
        if before != record.trial:
            report.notes.append(
                f"{record.name} of {record.machine} was imported before with other scores, as {before}; both are kept"
            )
        stored = facts.get((record.machine, record.trial))
        new = (stored is None or record.extra[FACTS] > stored) and ledger.commit(
            record, rows, replace=stored is not None
        )
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
        extra={FACTS: int((table["label"] != "unknown").sum() + (table["domain"] != "").sum())},
    )
    TrialRecord.from_json(record.to_json())  # what cannot be stored is found before the first trial is
    return record, table


def _digest(by_split: dict[str, Any]) -> str:
    """A hash of the scores, whatever the order of the rows and whatever is known of label and domain."""
    made = hashlib.blake2b(digest_size=16)
    for split, rows in sorted(by_split.items()):
        made.update(repr((split, *(rows[name].to_pylist() for name in ("clip", "id", "variant")))).encode())
        made.update(rows["score"].to_numpy().tobytes())
    return made.hexdigest()
