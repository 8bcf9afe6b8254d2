"""Look at every byte of a ledger, and set aside what is no whole file of it."""

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
AHEAD = timedelta(days=1)  # that clocks and time zones may differ
DEAD_AFTER = 3600.0  # seconds: no writer takes an hour between opening its temporary file and renaming it


@dataclass
class VerifyReport:
    """What was checked, what was found, what was done."""

    files: int = 0
    compact_files: int = 0
    trials: Counter[str] = field(default_factory=Counter)  # status -> trials
    rows: int = 0
    duplicates: int = 0  # trials in two files, as a killed compaction or a retried failure leaves them: harmless
    set_aside: list[str] = field(default_factory=list)
    rescued: list[str] = field(default_factory=list)  # whole trials taken out of a broken compact file
    problems: list[str] = field(default_factory=list)  # named, and left where they are
    leftovers: int = 0  # temporary files of dead writers, removed
    in_flight: int = 0  # temporary files younger than an hour

    @property
    def is_clean(self) -> bool:
        return not self.set_aside and not self.problems


@dataclass
class _Checked:
    """One file: its whole trials, and what is wrong with it."""

    stored: Stored
    whole: list[tuple[Entry, int]] = field(default_factory=list)  # with the number of rows
    bad: list[str] = field(default_factory=list)
    unreadable: str = ""


def verify(ledger: Ledger) -> VerifyReport:
    """Read every file wholly and check it against its own record; broken ones go to the run's `ledger_set_aside`."""
    report = VerifyReport()
    report.leftovers, report.in_flight, report.problems = remove_leftovers(ledger)
    best: dict[tuple[str, str, str], tuple[Entry, int]] = {}
    for checked_file in parallel(ledger.files, lambda stored: _check(ledger, stored), ledger.trial_files()):
        if checked_file is None:
            continue
        report.files += 1
        report.compact_files += is_compact(checked_file.stored.path)
        for entry, rows in [] if checked_file.bad else checked_file.whole:
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
    """Remove the temporary files of dead writers: how many, how many may still be written, and which would not go."""
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
            except AsdRayError as error:  # another user's: harmless, as no reader looks at it
                problems.append(str(error))
    return removed, young, problems


def _check(ledger: Ledger, stored: Stored) -> _Checked | None:
    found = _Checked(stored)
    try:
        for entry in read_entries(ledger.files, stored):
            try:
                found.whole.append((entry, _check_trial(ledger, entry)))
            except BadFileError as error:
                found.bad.append(error.reason)
    except FileNotFoundError:  # compacted meanwhile
        return None
    except BadFileError as error:
        found.bad.append(error.reason)
    except FileError as error:
        found.unreadable = str(error)
    return found


def _check_trial(ledger: Ledger, entry: Entry) -> int:
    """The number of rows of a trial, all of which keep the rules and are the ones its record describes."""
    url = ledger.layout.url(entry.stored.path)
    rows = 0
    for split, table in read_trial(ledger.files, entry).items():
        try:
            kept = checked(table, str(entry.record))
        except AsdRayError as error:
            raise BadFileError(url, " ".join(str(error).split())) from error
        if set(kept) != {split} or not kept[split].equals(table):
            raise BadFileError(url, f"the rows of {entry.record} are not those of {split}, sorted by variant and clip")
        where = entry.splits[split]
        for variant, digest in zip(where.variants, where.clips, strict=True):
            part = where.slices()[variant]
            part_rows = table.slice(part.start, part.stop - part.start)
            if part_rows["variant"].unique().to_pylist() != [variant] or clips_digest(part_rows) != digest:
                raise BadFileError(url, f"the clips of {entry.record}, variant {variant!r}, are not its record's")
        rows += len(table)
    return rows


def _set_aside(ledger: Ledger, found: _Checked, report: VerifyReport) -> None:
    """Move a broken file away with its reason beside it; whole trials of a broken compact file are kept."""
    files, stored = ledger.files, found.stored
    if files.stat(stored.path) != stored:  # written anew, or gone, since it was read
        return
    for entry, _ in found.whole:
        target = ledger.layout.trial_file(*entry.key, entry.record.status)
        if files.stat(target) is None:
            files.put(target, encode([(entry.record, read_trial(files, entry))]))
        report.rescued.append(str(entry.record))
    reason = "; ".join(found.bad)
    try:
        aside = set_aside(files, stored.path, reason)
    except FileNotFoundError:  # another verify was first
        return
    report.set_aside.append(f"{ledger.layout.url(stored.path)}: {reason} -> {ledger.layout.url(aside)}")


def _early(ledger: Ledger, trials: Iterable[tuple[Entry, int]]) -> list[str]:
    """Trials of tomorrow: of two files of a trial the newer one counts, so a wrong clock may choose the wrong one."""
    latest = datetime.now(UTC) + AHEAD
    return [
        f"{ledger.layout.url(entry.stored.path)}: created {entry.record.created}, which is to come; set the clock of "
        "the computer that wrote it"
        for entry, _ in trials
        if datetime.fromisoformat(entry.record.created).astimezone(UTC) > latest
    ]


def _strangers(ledger: Ledger) -> list[str]:
    return [
        f"{ledger.layout.url(stored.path)}: no file of a ledger, and other readers of the folder stumble over it; move "
        "it elsewhere"
        for stored in ledger.files.list(ledger.layout.ledger)
        if not stored.name.endswith(".parquet") and not stored.name.startswith((".", "_"))
    ]
