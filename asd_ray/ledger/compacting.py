"""Merge many small files into a few large ones. Every trial can be read at any time meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.ledger.record import TrialRecord
from asd_ray.ledger.schema import variant_runs
from asd_ray.ledger.store import LISTINGS, Ledger, best_of
from asd_ray.ledger.trial_file import (
    MOST_RECORDS,
    BadFileError,
    Entry,
    FileError,
    encode,
    is_compact,
    read_entries,
    read_trial,
)
from asd_ray.ledger.verifying import remove_leftovers
from asd_ray.storage.files import Stored

TRIALS = 500  # the most in one file
OTHER_ROWS = "its rows are not those that its record describes"
BYTES = 128 << 20  # the most that are merged into one file, which is built in memory


@dataclass
class CompactReport:
    families: int = 0  # pairs of machine and family that were checked
    trials: int = 0  # that are in a new compact file now
    written: int = 0
    removed: int = 0
    leftovers: int = 0  # temporary files of writers that died


def compact(ledger: Ledger, *, trials: int = TRIALS) -> CompactReport:
    """Merge the files of each (machine, family) into files of at most `trials` trials.

    A new file is written and read back before an old one is removed, and readers count a trial in two files once.
    Failed and pruned trials may be replaced at any time, so they keep their own files until the trial is complete. So
    compaction may be killed at any time and started again, and may run beside searches, readers and other compactions.
    """
    if trials < 2:
        raise AsdRayError(f"a compact file holds at least 2 trials but got --trials {trials}")
    report = CompactReport(leftovers=remove_leftovers(ledger)[0])
    for machine, family in sorted({entry.key[:2] for entry in ledger.entries()}):
        report.families += 1
        attempts = LISTINGS
        while attempts:
            try:
                _compact_family(ledger, machine, family, trials, report)
                break
            except FileNotFoundError:  # another compaction merged a file first: list again
                attempts -= 1
            except LeftOutError:  # a broken file, which is reported and ignored from now on
                continue
    return report


class LeftOutError(Exception):
    """A file that was to be merged is broken; it is reported and ignored from now on."""


def _compact_family(ledger: Ledger, machine: str, family: str, trials: int, report: CompactReport) -> None:
    by_file: dict[Stored, list[Entry]] = {}
    for entry in ledger.entries(machine, family):
        if entry.is_compact or entry.record.status == "complete":
            by_file.setdefault(entry.stored, []).append(entry)
    for group in _plan(by_file, trials):
        _merge(ledger, machine, family, {stored: by_file[stored] for stored in group}, report)
    _remove_shadowed(ledger, machine, family, report)


def _plan(by_file: dict[Stored, list[Entry]], trials: int) -> list[list[Stored]]:
    """Which files are merged into one. A full file stays as it is, so compacting often costs little."""
    groups: list[list[Stored]] = [[]]
    count = size = records = 0
    for stored in sorted(by_file, key=lambda stored: (by_file[stored][0].record.number, stored.path)):
        if len(by_file[stored]) >= trials or stored.size >= BYTES:
            continue
        own = sum(map(_record_bytes, by_file[stored]))
        if count + len(by_file[stored]) > trials or size + stored.size > BYTES or records + own > MOST_RECORDS // 2:
            groups.append([])
            count = size = records = 0
        groups[-1].append(stored)
        count += len(by_file[stored])
        size += stored.size
        records += own
    return [group for group in groups if len(group) > 1]


def _record_bytes(entry: Entry) -> int:
    """The approximate size of a trial in a footer."""
    variants = [variant for rows in entry.splits.values() for variant in rows.variants]
    return len(entry.record.to_json()) + sum(100 + 6 * len(variant) for variant in variants)


def _merge(
    ledger: Ledger, machine: str, family: str, sources: dict[Stored, list[Entry]], report: CompactReport
) -> None:
    entries = [entry for of_file in sources.values() for entry in of_file]
    write_compact(ledger, machine, family, entries)
    report.written += 1
    report.trials += len(entries)
    for source in sources:
        report.removed += _remove(ledger, source)


def write_compact(ledger: Ledger, machine: str, family: str, entries: Sequence[Entry]) -> None:
    """Write a compact file of these trials, read it back, and mark the folder; then the old files may be removed."""
    # A new name each time: a compact file never changes, so a process removes only what it has read.
    target = ledger.layout.compact_file(machine, family, uuid.uuid4().hex[:16])
    ledger.files.put(target, encode(_trials(ledger, entries)))
    stored = ledger.files.stat(target)
    written = read_entries(ledger.files, stored) if stored else []
    if [entry.key for entry in written] != [entry.key for entry in entries]:
        raise AsdRayError(f"{ledger.layout.url(target)}: does not read back as it was written; check the disk")
    if wrong := [old for old, new in zip(entries, written, strict=True) if _rows_of(old) != _rows_of(new)]:
        ledger.files.remove(target)
        for entry in wrong:
            _leave_out(ledger, entry)
        raise LeftOutError(f"{ledger.layout.url(wrong[0].stored.path)}: {OTHER_ROWS}")
    ledger.files.put(ledger.layout.compacted_mark(machine, family), target.encode())


def _rows_of(entry: Entry) -> dict[str, tuple[Any, ...]]:
    return {split: (rows.variants, rows.rows, rows.clips) for split, rows in entry.splits.items()}


def _leave_out(ledger: Ledger, entry: Entry) -> None:
    ledger.leave_out(entry.stored, BadFileError(ledger.layout.url(entry.stored.path), OTHER_ROWS))


def _trials(ledger: Ledger, entries: Sequence[Entry]) -> Iterator[tuple[TrialRecord, dict[str, Any]]]:
    for entry in entries:
        try:
            by_split = read_trial(ledger.files, entry)
        except FileError as error:
            ledger.leave_out(entry.stored, error)
            raise LeftOutError(str(error)) from error
        if any(variant_runs(rows)[0] != list(entry.splits[split].variants) for split, rows in by_split.items()):
            _leave_out(ledger, entry)
            raise LeftOutError(f"{ledger.layout.url(entry.stored.path)}: {OTHER_ROWS}")
        yield entry.record, by_split


def _remove_shadowed(ledger: Ledger, machine: str, family: str, report: CompactReport) -> None:
    """Remove files whose trials are all in better files, after a killed compaction or a retried failure."""
    every = ledger.all_entries(machine, family)
    best = best_of(every)
    by_file: dict[Stored, list[Entry]] = {}
    for entry in every:
        by_file.setdefault(entry.stored, []).append(entry)
    for stored, entries in by_file.items():
        winners = [best[entry.key] for entry in entries]
        lasting = is_compact(stored.path) or all(winner.record.status == "complete" for winner in winners)
        if lasting and all(winner.stored != stored for winner in winners):
            for _ in _trials(ledger, winners):  # read the better files completely first
                pass
            report.removed += _remove(ledger, stored)


def _remove(ledger: Ledger, stored: Stored) -> bool:
    """Remove a file unless it was replaced since it was read."""
    if ledger.files.stat(stored.path) != stored:
        return False
    ledger.files.remove(stored.path)
    return True
