"""Take trials out of the ledger, so that a search runs them again. Their files are set aside, never deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.compacting import LeftOutError, write_compact
from asd_ray.ledger.record import STATUSES, TrialRecord
from asd_ray.ledger.setting_aside import put_aside, set_aside
from asd_ray.ledger.store import LISTINGS
from asd_ray.ledger.trial_file import Entry, FileError, encode, read_trial

if TYPE_CHECKING:
    from asd_ray.ledger.store import Ledger
    from asd_ray.storage.files import Stored

REASON = "forgotten, so that a search runs the trial again"
Key = tuple[str, str, str]
Matches = Callable[[Entry], bool]  # whether an entry is to be forgotten


def forget(ledger: Ledger, records: Iterable[TrialRecord]) -> list[str]:
    """Set every file of these trials aside; returns the new paths. A trial that got a better status meanwhile stays.

    A trial in a compact file is written to its own file among those set aside, and a new compact file with the other
    trials is written before the old one is removed. So a crash loses nothing, and the same call resumes.
    """
    listed = {(r.machine, r.family, r.trial): STATUSES.index(r.status) for r in records}

    def matches(entry: Entry) -> bool:
        return STATUSES.index(entry.record.status) >= listed.get(entry.key, len(STATUSES))

    paths: list[str] = []
    for _ in range(LISTINGS):
        by_file: dict[Stored, list[Entry]] = {}
        for entry in ledger.all_entries():
            by_file.setdefault(entry.stored, []).append(entry)
        holders = {stored: of_file for stored, of_file in by_file.items() if any(map(matches, of_file))}
        if not holders:
            break
        for stored, entries in holders.items():
            with contextlib.suppress(FileNotFoundError):  # moved by another process: in the next listing
                paths += _forget_in(ledger, stored, entries, matches)
    return paths


def forget_failed(
    ledger: Ledger,
    machines: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    trials: Sequence[str] | None = None,
) -> list[TrialRecord]:
    """Set the files of failed trials aside, so that the next search runs these trials again; returns their records.

    None means all; `trials` are names or hashes. Nothing is deleted: the files move to the run's `ledger_set_aside`,
    each with the command that brings it back beside it. A trial that was retried with success is not changed.
    """
    failed = failed_among(ledger.records(), machines, families, trials)
    if failed:
        forget(ledger, failed)
    return failed


def failed_among(
    records: Iterable[TrialRecord],
    machines: Sequence[str] | None = None,
    families: Sequence[str] | None = None,
    trials: Sequence[str] | None = None,
) -> list[TrialRecord]:
    """The failed ones of these machines, families and trials (names or hashes); None means all."""
    return [
        record
        for record in records
        if record.status == "failed"
        and (machines is None or record.machine in machines)
        and (families is None or record.family in families)
        and (trials is None or record.trial in trials or record.name in trials)
    ]


def find_to_forget(
    ledger: Ledger, trials: Sequence[str], machine: str | None, family: str | None, *, failed_only: bool
) -> list[TrialRecord]:
    """The trials for `ledger forget`: all failed ones, or those with the whole name or the whole hash in `trials`.

    If a name belongs to several trials and not all of them failed, AsdRayError lists them.
    """
    ledger.check_known(machine, family)
    records = ledger.records(machine, family)
    if not trials:
        return failed_among(records)
    matches: dict[Key, TrialRecord] = {}
    for text in trials:
        same = [record for record in records if text in (record.name, record.trial)]
        if not same:
            raise AsdRayError(
                f"no trial is named {text!r} and none has this hash; give a whole name or a whole hash, as listed by: "
                + typed("asd-ray", "ledger", "ls", ledger.layout.root)
            )
        if failed_only:
            same = failed_among(same)
        if len(same) > 1 and any(record.status != "failed" for record in same):
            raise AsdRayError(f"{text!r} can be any of these; give a hash, --machine or --failed:\n{listing(same)}")
        matches |= {(record.machine, record.family, record.trial): record for record in same}
    return list(matches.values())


def _forget_in(ledger: Ledger, stored: Stored, entries: Sequence[Entry], matches: Matches) -> list[str]:
    if not entries[0].is_compact:
        return [set_aside(ledger.files, stored.path, REASON)]
    try:
        return _take_out(ledger, stored, entries, matches)
    except (FileError, LeftOutError) as error:
        raise AsdRayError(f"{error}. Run first: {typed('asd-ray', 'ledger', 'verify', ledger.layout.root)}") from error


def _take_out(ledger: Ledger, stored: Stored, entries: Sequence[Entry], matches: Matches) -> list[str]:
    files, layout = ledger.files, ledger.layout
    paths = []
    for entry in entries:
        if matches(entry):
            content = encode([(entry.record, read_trial(files, entry))])
            paths.append(put_aside(files, layout.trial_file(*entry.key, entry.record.status), content, REASON))
    rest = [entry for entry in entries if not matches(entry)]
    machine, family, _ = entries[0].key
    if rest:
        write_compact(ledger, machine, family, rest)
    files.remove(stored.path)
    # Writers must read the compact files again. The mark has another size than before, because S3's times are seconds.
    files.put(layout.compacted_mark(machine, family), b"")
    return paths
