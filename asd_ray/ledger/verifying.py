"""Read every byte of a ledger, and set broken files aside."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asd_ray.errors import AsdRayError
from asd_ray.ledger.schema import checked, clips_digest
from asd_ray.ledger.setting_aside import set_aside
from asd_ray.ledger.store import Ledger
from asd_ray.ledger.trial_file import BadFileError, Entry, FileError, encode, is_compact, read_entries, read_trial
from asd_ray.storage.files import Stored, parallel

TEMPORARY = re.compile(r"\..+\.tmp")
AHEAD = timedelta(days=1)  # the most that clocks and time zones may differ
DEAD_AFTER = 3600.0  # seconds: no writer needs an hour from opening its temporary file to renaming it


@dataclass
class VerifyReport:
    """What was checked, what was wrong, and what was done about it."""

    files: int = 0
    compact_files: int = 0
    trials: Counter[str] = field(default_factory=Counter)  # status -> trials
    rows: int = 0
    duplicates: int = 0  # trials in two files, after a killed compaction or a retried failure: harmless
    set_aside: list[str] = field(default_factory=list)
    rescued: list[str] = field(default_factory=list)  # good trials of a broken compact file, now in their own files
    problems: list[str] = field(default_factory=list)  # of files that were not moved
    leftovers: int = 0  # temporary files of dead writers, removed
    in_flight: int = 0  # temporary files younger than an hour

    @property
    def is_clean(self) -> bool:
        return not self.set_aside and not self.problems


@dataclass
class _Checked:
    """One file: its good trials, and what is wrong with it."""

    stored: Stored
    good: list[tuple[Entry, int]] = field(default_factory=list)  # with the number of rows
    bad: list[str] = field(default_factory=list)
    unreadable: str = ""


def verify(ledger: Ledger) -> VerifyReport:
    """Read every file completely and check it against its record; broken ones go to the run's `ledger_set_aside`."""
    report = VerifyReport()
    report.leftovers, report.in_flight, report.problems = remove_leftovers(ledger)
    best: dict[tuple[str, str, str], tuple[Entry, int]] = {}
    for checked_file in parallel(ledger.files, lambda stored: _check(ledger, stored), ledger.trial_files()):
        if checked_file is None:
            continue
        report.files += 1
        report.compact_files += is_compact(checked_file.stored.path)
        for entry, rows in [] if checked_file.bad else checked_file.good:
            report.duplicates += entry.key in best
            if entry.key not in best or entry.rank > best[entry.key][0].rank:
                best[entry.key] = entry, rows
        if checked_file.unreadable:
            report.problems.append(checked_file.unreadable)
        if checked_file.bad:
            try:
                _set_aside(ledger, checked_file, report)
            except AsdRayError as error:
                url = ledger.layout.url(checked_file.stored.path)
                reason = "; ".join(checked_file.bad)
                report.problems.append(f"{url}: {reason}; broken, could not be set aside: {error}")
    report.trials = Counter(entry.record.status for entry, _ in best.values())
    report.rows = sum(rows for _, rows in best.values())
    report.problems += [*_early(ledger, best.values()), *_strangers(ledger)]
    return report


def remove_leftovers(ledger: Ledger) -> tuple[int, int, list[str]]:
    """Remove temporary files of dead writers. Returns their number, that of recent ones, and problems."""
    removed = young = 0
    problems = []
    for stored in ledger.files.list(ledger.layout.ledger):
        if TEMPORARY.fullmatch(stored.name):
            if time.time() - stored.stamp <= DEAD_AFTER:
                young += 1
                continue
            try:
                ledger.files.remove(stored.path)
                removed += 1
            except AsdRayError as error:  # of another user: harmless, because no reader opens it
                problems.append(str(error))
    return removed, young, problems


def _check(ledger: Ledger, stored: Stored) -> _Checked | None:
    checked_file = _Checked(stored)
    try:
        for entry in read_entries(ledger.files, stored):
            try:
                checked_file.good.append((entry, _check_trial(ledger, entry)))
            except BadFileError as error:
                checked_file.bad.append(error.reason)
    except FileNotFoundError:  # compacted meanwhile
        return None
    except BadFileError as error:
        checked_file.bad.append(error.reason)
    except FileError as error:
        checked_file.unreadable = str(error)
    return checked_file


def _check_trial(ledger: Ledger, entry: Entry) -> int:
    """The number of rows of a trial. BadFileError if a row breaks a rule or does not fit its record."""
    url = ledger.layout.url(entry.stored.path)
    rows = 0
    for split, table in read_trial(ledger.files, entry).items():
        try:
            by_split = checked(table, str(entry.record))
        except AsdRayError as error:
            raise BadFileError(url, " ".join(str(error).split())) from error
        if set(by_split) != {split} or not by_split[split].equals(table):
            raise BadFileError(url, f"the rows of {entry.record} are not those of {split}, sorted by variant and clip")
        where = entry.splits[split]
        for variant, digest in zip(where.variants, where.clips, strict=True):
            part = where.slices()[variant]
            part_rows = table.slice(part.start, part.stop - part.start)
            if part_rows["variant"].unique().to_pylist() != [variant] or clips_digest(part_rows) != digest:
                raise BadFileError(url, f"the clips of {entry.record}, variant {variant!r}, are not its record's")
        rows += len(table)
    return rows


def _set_aside(ledger: Ledger, checked_file: _Checked, report: VerifyReport) -> None:
    """Set a broken file aside; good trials of a broken compact file get their own files."""
    files, stored = ledger.files, checked_file.stored
    if files.stat(stored.path) != stored:  # replaced or gone since it was read
        return
    for entry, _ in checked_file.good:
        target = ledger.layout.trial_file(*entry.key, entry.record.status)
        if files.stat(target) is None:
            files.put(target, encode([(entry.record, read_trial(files, entry))]))
        report.rescued.append(str(entry.record))
    reason = "; ".join(checked_file.bad)
    try:
        aside = set_aside(files, stored.path, reason)
    except FileNotFoundError:  # another verify was first
        return
    report.set_aside.append(f"{ledger.layout.url(stored.path)}: {reason} -> {ledger.layout.url(aside)}")


def _early(ledger: Ledger, trials: Iterable[tuple[Entry, int]]) -> list[str]:
    """Trials from the future. Of two files of a trial the newer one counts, so a wrong clock hides the right one."""
    latest = datetime.now(UTC) + AHEAD
    return [
        f"{ledger.layout.url(entry.stored.path)}: created {entry.record.created}, which is in the future; set the "
        "clock of the computer that wrote it"
        for entry, _ in trials
        if datetime.fromisoformat(entry.record.created).astimezone(UTC) > latest
    ]


def _strangers(ledger: Ledger) -> list[str]:
    return [
        f"{ledger.layout.url(stored.path)}: not a file of a ledger, and other readers of the folder fail on it; move "
        "it elsewhere"
        for stored in ledger.files.list(ledger.layout.ledger)
        if not stored.name.endswith(".parquet") and not stored.name.startswith((".", "_"))
    ]
