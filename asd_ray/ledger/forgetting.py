"""Trials leave the ledger, so that a search runs them again; their files are set aside, never deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.compacting import LeftOutError, write_compact
from asd_ray.ledger.record import TrialRecord
from asd_ray.ledger.setting_aside import put_aside, set_aside
from asd_ray.ledger.store import LISTINGS
from asd_ray.ledger.trial_file import Entry, FileError, encode, read_trial

if TYPE_CHECKING:
    from asd_ray.ledger.files import Stored
    from asd_ray.ledger.store import Ledger

REASON = "forgotten, so that a search runs the trial again"
Key = tuple[str, str, str]


def forget(ledger: Ledger, records: Iterable[TrialRecord]) -> list[str]:
    """Set every file of these trials aside; where they went.

    A trial in a compact file gets a file of its own among those set aside, and a new compact file holds the other
    trials before the old one is removed. So a crash loses nothing, and the same call goes on where it stopped.
    """
    keys = {(record.machine, record.family, record.trial) for record in records}
    went: list[str] = []
    for _ in range(LISTINGS):
        by_file: dict[Stored, list[Entry]] = {}
        for entry in ledger.all_entries():
            by_file.setdefault(entry.stored, []).append(entry)
        holders = {stored: each for stored, each in by_file.items() if any(entry.key in keys for entry in each)}
        if not holders:
            break
        for stored, entries in holders.items():
            with contextlib.suppress(FileNotFoundError):  # moved by another process: found by the next listing
                went += _forget_in(ledger, stored, entries, keys)
    return went


def find_to_forget(
    ledger: Ledger, trials: Sequence[str], machine: str | None, family: str | None, *, failed_only: bool
) -> list[TrialRecord]:
    """The trials that `ledger forget` means: all that failed, or those of a whole name or a whole hash.

    A trial that did not fail is meant only by a name that means no other trial; a message says what it may mean.
    """
    ledger.check_known(machine, family)
    records = ledger.records(machine, family)
    if not trials:
        return [record for record in records if record.status == "failed"]
    found: dict[Key, TrialRecord] = {}
    for text in trials:
        same = [record for record in records if text in (record.name, record.trial)]
        if not same:
            raise AsdRayError(
                f"no trial is named {text!r} and none has this hash; give a whole name or a whole hash, as listed by: "
                f"asd-ray ledger ls {ledger.layout.root}"
            )
        if failed_only:
            same = [record for record in same if record.status == "failed"]
        if len(same) > 1 and any(record.status != "failed" for record in same):
            raise AsdRayError(f"{text!r} may be any of these; give a hash, --machine or --failed:\n{listing(same)}")
        found |= {(record.machine, record.family, record.trial): record for record in same}
    return list(found.values())


def _forget_in(ledger: Ledger, stored: Stored, entries: Sequence[Entry], keys: set[Key]) -> list[str]:
    """Of one file."""
    if not entries[0].is_compact:
        return [set_aside(ledger.files, stored.path, REASON)]
    try:
        return _take_out(ledger, stored, entries, keys)
    except (FileError, LeftOutError) as error:
        raise AsdRayError(f"{error}. Run first: asd-ray ledger verify {ledger.layout.root}") from error


def _take_out(ledger: Ledger, stored: Stored, entries: Sequence[Entry], keys: set[Key]) -> list[str]:
    files, layout = ledger.files, ledger.layout
    went = []
    for entry in entries:
        if entry.key in keys:
            content = encode([(entry.record, read_trial(files, entry))])
            went.append(put_aside(files, layout.trial_file(*entry.key, entry.record.status), content, REASON))
    rest = [entry for entry in entries if entry.key not in keys]
    machine, family, _ = entries[0].key
    if rest:
        write_compact(ledger, machine, family, rest)
    files.remove(stored.path)
    # Writers that looked before must look again. The size differs from other marks', for S3 counts whole seconds.
    files.put(layout.compacted_mark(machine, family), b"")
    return went
