"""Correct which stored trials are marked as the paper's setting, after a change of a space file. No more changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asd_ray.ledger.compacting import LeftOutError, write_compact
from asd_ray.ledger.record import TrialRecord
from asd_ray.ledger.store import LISTINGS
from asd_ray.ledger.trial_file import Entry, FileError, encode, read_trial

if TYPE_CHECKING:
    from asd_ray.ledger.store import Ledger
    from asd_ray.storage.files import Stored

Marks = dict[tuple[str, str, str, str], bool]  # machine, family, trial, status -> whether it is the paper's setting


def correct_marks(ledger: Ledger, records: Iterable[TrialRecord]) -> None:
    """Write the mark of these records into the files of their trials. Call it while no other search has their study.

    A file with one trial is replaced. A new compact file is written before the old one is removed, so a crash loses
    nothing. A file that cannot be read is reported and stays as it is.
    """
    marks = {(r.machine, r.family, r.trial, r.status): r.paper for r in records}
    for machine, family in sorted({key[:2] for key in marks}):
        for _ in range(LISTINGS):
            by_file: dict[Stored, list[Entry]] = {}
            for entry in ledger.all_entries(machine, family):
                by_file.setdefault(entry.stored, []).append(entry)
            wrong = {
                stored: entries
                for stored, entries in by_file.items()
                if any(_marked(entry, marks).paper != entry.record.paper for entry in entries)
            }
            if not wrong:
                break
            for stored, entries in wrong.items():
                _write(ledger, stored, [replace(entry, record=_marked(entry, marks)) for entry in entries])


def _marked(entry: Entry, marks: Marks) -> TrialRecord:
    record = entry.record
    return replace(record, paper=marks.get((*entry.key, record.status), record.paper))


def _write(ledger: Ledger, stored: Stored, entries: Sequence[Entry]) -> None:
    """Replace a file by one with the records of these entries and the same scores."""
    files, (machine, family, _) = ledger.files, entries[0].key
    try:
        if entries[0].is_compact:
            write_compact(ledger, machine, family, entries)
            files.remove(stored.path)
        else:
            files.put(stored.path, encode([(entry.record, read_trial(files, entry)) for entry in entries]))
    except FileNotFoundError:  # a compaction moved it meanwhile: in the next listing
        return
    except FileError as error:
        ledger.leave_out(stored, error)
    except LeftOutError:  # reported already
        return
