"""The ledger: commit a trial, list the trials, read their scores."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError, unknown
from asd_ray.ledger.record import STATUSES, TrialRecord
from asd_ray.ledger.schema import COLUMNS, SPLITS, checked
from asd_ray.ledger.trial_file import (
    COMPACT,
    BadFileError,
    Entry,
    FileError,
    check_scored,
    encode,
    is_compact,
    read_entries,
    read_trial,
)
from asd_ray.storage.files import Stored, parallel
from asd_ray.storage.open_files import open_files
from asd_ray.storage.run_layout import RunLayout

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.storage.files import Files

LOGGER = logging.getLogger("asd_ray.ledger")
LISTINGS = 5  # the most listings in a row, if a compaction removes files that were listed


class Ledger:
    """The trials of one run. Cheap to open and to pickle; any number of processes may read and commit at once.

    Footers that were read are cached by path, size and time, so reading again costs one listing.
    """

    def __init__(self, run: str | Path | RunLayout) -> None:
        self.layout = run if isinstance(run, RunLayout) else RunLayout(run)
        self.files = open_files(self.layout)
        self._writing: Files | None = None  # opened by the first commit
        self._seen = False
        self._read: dict[Stored, list[Entry]] = {}
        self._compact_trials: dict[tuple[str, str], tuple[Stored, dict[str, list[str]]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Ledger, (self.layout,)

    def __repr__(self) -> str:
        return f"Ledger({self.layout.root!r})"

    # -- the run's folder ----------------------------------------------------------------------------------------

    def marked(self) -> str:
        """The mark of the run's folder, for `check_seen` on another computer. It is made if there is none.

        Two processes that make one at the same time make two, and both stay.
        """
        if not self.files.list(self.layout.marks):
            self.files.put(self.layout.mark_file(uuid.uuid4().hex), b"")
        return self.files.list(self.layout.marks)[0].name

    def check_seen(self, mark: str) -> None:
        """Raise if this computer has another folder of this name: its trials would never be seen by the search."""
        if self._seen or not mark:
            return
        self._seen = self.files.stat(self.layout.mark_file(mark)) is not None
        if not self._seen:
            raise AsdRayError(
                f"{self.layout.root}: not the folder that the search was started with; give a run on a disk that all "
                "nodes share under this path, or an s3:// address"
            )

    # -- writing -------------------------------------------------------------------------------------------------

    def commit(self, record: TrialRecord, scores: Any = None, *, replace: bool = False) -> bool:
        """Store a trial and its scores (a DataFrame or Arrow table with `schema.COLUMNS`), all or nothing.

        A complete trial stays as it is, compacted or not, and False is returned. So several writers of one trial do no
        harm, and the numbers of an ensemble do not change. With `replace`, a complete trial replaces it. A pruned or
        failed trial is replaced by a newer one with the same or a better status.
        """
        by_split = {} if scores is None or not len(scores) else checked(scores, str(record))
        check_scored(record, {v for rows in by_split.values() for v in rows["variant"].unique().to_pylist()})
        TrialRecord.from_json(record.to_json())  # raises for a record that readers would refuse
        path = self.layout.trial_file(record.machine, record.family, record.trial, record.status)
        content = encode([(record, by_split)])
        self._writing = files = self._writing or self.files.patient()
        if self._must_stay(files, record, replace):
            return False
        files.put(path, content)
        return True

    def _must_stay(self, files: Files, record: TrialRecord, replace: bool) -> bool:
        """Whether the ledger holds a trial that `record` must not replace, in its own file or in a compact one."""
        key = (record.machine, record.family, record.trial)
        final = STATUSES[: STATUSES.index(record.status)]
        if record.status == "complete" and not replace:
            final = ("complete",)
        if not final:
            return False
        for status in final:
            single = files.stat(self.layout.trial_file(*key, status))
            if single and _holds_trial(files, single):
                return True
        compacted = self._compacted(files, record.machine, record.family)
        return any(status in final for status in compacted.get(record.trial, ()))

    def _compacted(self, files: Files, machine: str, family: str) -> dict[str, list[str]]:
        """Trials in compact files and their statuses; read again only after a compaction changed the mark."""
        mark = files.stat(self.layout.compacted_mark(machine, family))
        if mark is None:
            return {}
        if self._compact_trials.get((machine, family), (None, {}))[0] != mark:
            for _ in range(LISTINGS):
                compacts = files.list(self.layout.family_folder(machine, family), COMPACT)
                entries_by_file = [self._entries_of(stored, files) for stored in compacts]
                if None not in entries_by_file:  # else another compaction merged it meanwhile
                    break
            trials: dict[str, list[str]] = {}
            for entry in (entry for entries in entries_by_file for entry in entries or []):
                trials.setdefault(entry.record.trial, []).append(entry.record.status)
            self._compact_trials[machine, family] = (mark, trials)
        return self._compact_trials[machine, family][1]

    # -- reading -------------------------------------------------------------------------------------------------

    def records(self, machine: str | None = None, family: str | None = None) -> list[TrialRecord]:
        """The records of all trials, from footers only, in order of machine, family and number."""
        return [entry.record for entry in self.entries(machine, family)]

    def has(self, machine: str, family: str, trial: str) -> bool:
        """Whether the trial is stored, whatever its status; a broken file does not count."""
        for status in STATUSES:
            single = self.files.stat(self.layout.trial_file(machine, family, trial, status))
            if single and self._entries_of(single):
                return True
        return any(entry.record.trial == trial for entry in self.entries(machine, family))

    def scores(self, record: TrialRecord, splits: Sequence[str] = SPLITS) -> pd.DataFrame:
        """The long table of one trial's scores: clip, id, domain, split, label, variant, score."""
        import pandas as pd

        rows = self.rows(record, splits)
        if not rows:
            return pd.DataFrame({name: pd.Series(dtype="float32" if name == "score" else "str") for name in COLUMNS})
        import pyarrow as pa

        table = pa.concat_tables(list(rows.values()))
        scores: pd.DataFrame = table.to_pandas()
        return scores

    def rows(self, record: TrialRecord, splits: Sequence[str] = SPLITS) -> dict[str, Any]:
        """The scores of one trial by split, as Arrow tables sorted by variant and clip."""
        rows = self.rows_if_any(record, splits)
        if rows is None:
            raise AsdRayError(
                f"{self.layout.url(self.layout.ledger)} has no {record}; to list its trials: "
                + typed("asd-ray", "ledger", "ls", self.layout.root)
            )
        return rows

    def rows_if_any(self, record: TrialRecord, splits: Sequence[str] = SPLITS) -> dict[str, Any] | None:
        """The same as `rows`, or None if no file that can be read has the trial."""
        for _ in range(LISTINGS):
            entry = self._find(record)
            if entry is None:
                return None
            try:
                return read_trial(self.files, entry, splits)
            except FileNotFoundError:  # a compaction moved it meanwhile
                continue
            except FileError as error:  # another file may have the trial, too
                self.leave_out(entry.stored, error)
        raise AsdRayError(f"the file of {record} changes while it is read; wait until the compaction ends")

    def _find(self, record: TrialRecord) -> Entry | None:
        """The entry of a trial: in its own file, else in the best file that has it, unless its status is worse."""
        key = (record.machine, record.family, record.trial)
        single = self.files.stat(self.layout.trial_file(*key, record.status))
        for entry in (self._entries_of(single) if single else None) or []:
            return entry
        best = next((entry for entry in self.entries(record.machine, record.family) if entry.key == key), None)
        is_worse = best is not None and STATUSES.index(best.record.status) > STATUSES.index(record.status)
        return None if is_worse else best

    # -- files ---------------------------------------------------------------------------------------------------

    def entries(self, machine: str | None = None, family: str | None = None) -> list[Entry]:
        """Every trial once, from the best file that has it. Broken files are skipped with a warning."""
        return sorted(best_of(self.all_entries(machine, family)).values(), key=_order)

    def trial_files(self, machine: str | None = None, family: str | None = None) -> list[Stored]:
        """The Parquet files of the ledger, without the temporary files of writers, which start with a dot."""
        folder = self.layout.ledger
        if machine is not None:
            folder = self.layout.machine_folder(machine)
            if family is not None:
                folder = self.layout.family_folder(machine, family)
        inside = f"/family={family}/" if family is not None else "/"
        return [
            stored
            for stored in self.files.list(folder)
            if stored.name.endswith(".parquet") and not stored.name.startswith(".") and inside in stored.path
        ]

    def require(self) -> Ledger:
        """This ledger; AsdRayError if there is no such run."""
        if not self.files.list(self.layout.ledger) and not self.files.list(self.layout.set_aside):
            raise AsdRayError(
                f"{self.layout.root}: no run here (no trial below {self.layout.url(self.layout.ledger)}); give the "
                "folder that a search printed at its end, or start one with asd-ray search, or asd-ray ledger import"
            )
        return self

    def check_known(self, machine: str | None, family: str | None) -> None:
        """Raise if there are trials, but none of this machine, or none of this family of it."""
        if (machine is None and family is None) or self.entries(machine, family):
            return
        records = self.records()
        machines = {record.machine for record in records}
        if machine is not None and machine not in machines:
            raise unknown("machine", machine, machines)
        if family is not None:
            raise unknown("family", family, {r.family for r in records if machine in (None, r.machine)})

    def all_entries(self, machine: str | None = None, family: str | None = None) -> list[Entry]:
        """Every trial of every file; a trial that is being compacted may be there twice.

        A listing of a folder that changes meanwhile may have neither the new compact file nor the old ones. So the
        folder is listed again after reading, until no file was removed and no compact one was added in between.
        """
        listed = self.trial_files(machine, family)
        for _ in range(LISTINGS):
            entries_by_file = list(parallel(self.files, self._entries_of, listed))
            before, listed = {stored.path for stored in listed}, self.trial_files(machine, family)
            after = {stored.path for stored in listed}
            if before <= after and not any(is_compact(path) for path in after - before):
                break
        return [entry for entries in entries_by_file for entry in entries or []]

    def _entries_of(self, stored: Stored, files: Files | None = None) -> list[Entry] | None:
        """The trials of a file; an empty list if it is broken, None if it is gone."""
        if stored not in self._read:
            try:
                self._read[stored] = read_entries(files or self.files, stored)
            except FileNotFoundError:
                return None
            except FileError as error:
                self.leave_out(stored, error)
        return self._read[stored]

    def leave_out(self, stored: Stored, error: FileError) -> None:
        """Warn once of a file that cannot be used, and skip it until it changes."""
        cure = f". Set it aside with: {typed('asd-ray', 'ledger', 'verify', self.layout.root)}"
        LOGGER.warning("%s; skipped%s", error, cure if isinstance(error, BadFileError) else "")
        self._read[stored] = []


def _holds_trial(files: Files, stored: Stored) -> bool:
    """Whether a file is complete. Raises for a file of a newer version, which must not be replaced."""
    try:
        return bool(read_entries(files, stored))
    except (FileNotFoundError, BadFileError):  # gone or broken: it is written again
        return False


def best_of(entries: Iterable[Entry]) -> dict[tuple[str, str, str], Entry]:
    """The entry that counts for each trial."""
    best: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        if entry.key not in best or entry.rank > best[entry.key].rank:
            best[entry.key] = entry
    return best


def _order(entry: Entry) -> tuple[str, str, int, str, str]:
    record = entry.record
    return record.machine, record.family, record.number, record.name, record.trial
