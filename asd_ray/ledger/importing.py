"""Store systems of other software: long tables, and folders of official submission files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError, listing, unknown
from asd_ray.ledger.long_table import DEFAULTS, read_long_table
from asd_ray.ledger.record import Settings, TrialRecord, trial_hash
from asd_ray.ledger.schema import COLUMNS, checked
from asd_ray.ledger.store import Ledger

if TYPE_CHECKING:
    import pandas as pd

FACTS = "known_facts"  # number of labels and domains of an import; an import with more of them replaces it


@dataclass
class ImportReport:
    stored: list[TrialRecord] = field(default_factory=list)
    present: list[TrialRecord] = field(default_factory=list)  # the same scores were already in the ledger
    rows: int = 0
    notes: list[str] = field(default_factory=list)


def import_scores(ledger: Ledger, source: str | Path, year: int | None, truth: str | Path | None) -> ImportReport:
    """Store a table, or the submission folder `source`."""
    if Path(source).is_dir():
        if year is None:
            raise AsdRayError(
                f"{source}: the DCASE year of these submission files is needed; add it, such as --year 2020"
            )
        return import_submission(ledger, source, year, truth)
    if truth is not None:
        raise AsdRayError(f"{source}: --truth goes with a submission folder, but this is not a folder")
    return import_table(ledger, source, year)


def import_table(ledger: Ledger, path: str | Path, year: int | None = None) -> ImportReport:
    """Store each system and machine of a CSV or Parquet table as one trial; nothing is stored if anything is wrong.

    Columns: system, machine, id or section, clip or file, score; optional domain (source, target), split (default
    test), label (normal, anomaly, 0, 1; default unknown), variant, family (default import). Others are ignored.
    `year` is the DCASE year by whose cells ensembles and the leaderboard evaluate these systems; without it they use
    AUC and pAUC of each id.
    """
    if year is not None:
        _check_year(year)
    path = Path(path)
    return _store(ledger, read_long_table(path), path.name, year)


def import_submission(ledger: Ledger, folder: str | Path, year: int, truth: str | Path | None = None) -> ImportReport:
    """Store an official submission folder. With the folder of the ground truth, labels and domains are stored, too."""
    from asd_ray.metrics import match, read_submission, read_truth  # they import pandas

    submission = read_submission(Path(folder), year, scores_only=True)
    notes: list[str] = []
    if truth is not None:
        if Path(truth).is_file():
            raise AsdRayError(f"{truth} is a file; name its folder: {Path(truth).parent}")
        notes = [f"ignored: {stray}" for stray in submission.strays]
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
    return _store(ledger, frame, f"dcase{submission.year}", year, notes)


def _check_year(year: int) -> None:
    from asd_ray.metrics import EDITIONS

    if year not in EDITIONS:
        raise unknown("year", str(year), map(str, EDITIONS))


def _store(
    ledger: Ledger, frame: pd.DataFrame, origin: str, year: int | None, notes: Sequence[str] = ()
) -> ImportReport:
    """Check everything, then commit. After a kill, the same import gives the same ledger."""
    report = ImportReport(notes=list(notes))
    trials = [
        _trial(str(system), str(machine), rows, origin, report)
        for (system, machine), rows in frame.groupby(["system", "machine"], sort=True)
    ]
    records = ledger.records()
    _check_same_year(records, [record for record, _ in trials], year)
    imported = [record for record in records if record.source == "import"]
    by_name = {(record.machine, record.name): record.trial for record in imported}
    by_trial = {(record.machine, record.trial): record for record in imported}
    for record, rows in trials:
        same_name = by_name.get((record.machine, record.name), record.trial)
        if same_name != record.trial:
            report.notes.append(
                f"{record.name} of {record.machine} was imported before with other scores, as {same_name}; "
                "both are kept"
            )
        before = by_trial.get((record.machine, record.trial))
        record = _as_stored(record, before, year, report)
        is_new = _knows_more(record, before) and ledger.commit(record, rows, replace=before is not None)
        (report.stored if is_new else report.present).append(record)
        if before is not None and not is_new and year not in (None, _year_of(before)):
            report.notes.append(
                f"{record.name} of {record.machine} is stored with more labels than this table has, so the year "
                f"{year} was not added; import the table with the labels with --year {year}"
            )
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
        report.notes.append(f"{system} of {machine}: {ties} more ties among the scores as float32 than in the table")
    record = TrialRecord(
        trial=trial_hash(source="import", system=system, machine=machine, scores=_digest(by_split)),
        name=system,
        machine=machine,
        family=str(rows["family"].iloc[0]),
        params={"system": system},
        variant=variants[0] if len(variants) == 1 else "",
        source="import",
        dataset=origin,
        extra={FACTS: int((table["label"] != "unknown").sum() + (table["domain"] != "").sum())},
    )
    TrialRecord.from_json(record.to_json())  # raises for what cannot be stored, before the first trial is stored
    return record, table


def _check_same_year(records: Sequence[TrialRecord], new: Sequence[TrialRecord], year: int | None) -> None:
    """Raise if other trials of a machine are evaluated by another year: all trials of a machine share one year."""
    replaced = {(record.machine, record.trial) for record in new}
    others: dict[str, int] = {}
    for record in records:
        of_record = _year_of(record)
        if of_record is not None and (record.machine, record.trial) not in replaced:
            others[record.machine] = of_record
    for machine in sorted({record.machine for record in new}):
        if year is not None and others.get(machine, year) != year:
            raise AsdRayError(
                f"{machine}: the run has trials of DCASE {others[machine]}, so scores of {year} cannot join them; "
                f"import with --year {others[machine]}, or into another run"
            )


def _as_stored(record: TrialRecord, before: TrialRecord | None, year: int | None, report: ImportReport) -> TrialRecord:
    """The record with its year, in the field of a search. An earlier import keeps its family, and also its year if
    there is no new one."""
    if before is not None:
        year = _year_of(before) if year is None else year
        if before.family != record.family:  # a file lies in the folder of its family
            report.notes.append(
                f"{record.name} of {record.machine} stays in the family {before.family!r}, in which it was stored; to "
                f"change that, set it aside with asd-ray ledger forget and import it again"
            )
            record = replace(record, family=before.family)
    return record if year is None else replace(record, settings=Settings(year=year))


def _knows_more(record: TrialRecord, before: TrialRecord | None) -> bool:
    """Whether the record is new, or has more labels and domains than the stored one, or another year."""
    if before is None:
        return True
    facts, stored = record.extra[FACTS], before.extra.get(FACTS, 0)
    return bool(facts > stored or (facts == stored and _year_of(record) != _year_of(before)))


def _year_of(record: TrialRecord) -> int | None:
    return record.settings.year if record.settings is not None else None


def _digest(by_split: dict[str, Any]) -> str:
    """A hash of the scores. The order of rows, labels and domains do not change it."""
    digest = hashlib.blake2b(digest_size=16)
    for split, rows in sorted(by_split.items()):
        digest.update(repr((split, *(rows[name].to_pylist() for name in ("clip", "id", "variant")))).encode())
        digest.update(rows["score"].to_numpy().tobytes())
    return digest.hexdigest()
