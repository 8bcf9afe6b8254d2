"""All candidates of a machine over the same clips, as one matrix, for ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError, unknown
from asd_ray.ledger.clip_union import ClipUnion
from asd_ray.ledger.schema import CLIP_COLUMNS, SPLITS
from asd_ray.ledger.store import LISTINGS, Ledger
from asd_ray.ledger.trial_file import Entry, FileError, read_rows
from asd_ray.storage.files import Stored, parallel

if TYPE_CHECKING:
    import pandas as pd

Missing = Literal["raise", "drop", "nan"]
MISSING = ("raise", "drop", "nan")


@dataclass(frozen=True)
class CandidateMatrix:
    """Scores of candidates over clips, with facts on both; the order of rows and columns is reproducible."""

    machine: str
    split: str
    scores: npt.NDArray[np.float32]  # [candidates, clips], C-contiguous
    clips: pd.DataFrame  # clip, id, domain, label; sorted by clip
    candidates: pd.DataFrame  # trial, variant, name, family, …; sorted by family, number, trial, variant

    def __repr__(self) -> str:
        return f"<{len(self.candidates)} candidates x {len(self.clips)} {self.split} clips of {self.machine}>"


@dataclass(frozen=True)
class _Candidate:
    entry: Entry
    variant: str
    where: slice  # its rows in the row group of the split
    digest: str

    def __str__(self) -> str:
        return f"{self.entry.record.name} ({self.entry.record.trial}) variant {self.variant!r}"


class _BadFilesError(Exception):
    def __init__(self, errors: dict[Stored, FileError]) -> None:
        self.errors = errors


def candidate_matrix(
    ledger: Ledger,
    machine: str,
    split: str = "test",
    *,
    families: Sequence[str] | None = None,
    statuses: Sequence[str] = ("complete",),
    best_variants: bool = False,
    missing: Missing = "raise",
) -> CandidateMatrix:
    """Every candidate of `machine` that has scores of `split`.

    The clips are all clips that any candidate scored. If a candidate lacks some of them, `missing` decides: ``raise``,
    ``drop`` (it is left out, and the clips are those of most candidates), or ``nan``. `best_variants` keeps only the
    variant that a record names as its best, and all variants of records without one.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if missing not in MISSING:
        raise unknown("way with missing clips", missing, MISSING)
    attempts = LISTINGS
    while attempts:
        candidates = _candidates(ledger, machine, split, families, statuses, best_variants)
        try:
            union = _clips(ledger, candidates, split, missing)
            covering = _covering(candidates, union, missing)
            scores = _scores(ledger, covering, split, union)
        except FileNotFoundError:  # a compaction moved a file between listing and reading
            attempts -= 1
        except _BadFilesError as bad:  # these files are left out from now on, so the loop ends
            for stored, error in bad.errors.items():
                ledger.leave_out(stored, error)
        else:
            return CandidateMatrix(machine, split, scores, union.frame(), _frame(covering))
    raise AsdRayError(f"the files of {machine} change while they are read; wait until the compaction ends")


def _candidates(
    ledger: Ledger,
    machine: str,
    split: str,
    families: Sequence[str] | None,
    statuses: Sequence[str],
    best_variants: bool,
) -> list[_Candidate]:
    entries = ledger.entries(machine)
    candidates = []
    for entry in entries:
        record, rows = entry.record, entry.splits.get(split)
        if rows is None or record.status not in statuses or (families is not None and record.family not in families):
            continue
        digests = dict(zip(rows.variants, rows.clips, strict=True))
        candidates += [
            _Candidate(entry, variant, where, digests[variant])
            for variant, where in rows.slices().items()
            if not (best_variants and record.variant and variant != record.variant)
        ]
    if not candidates:
        raise _no_candidate(ledger, machine, split, entries, families, statuses)
    return candidates


def _no_candidate(
    ledger: Ledger,
    machine: str,
    split: str,
    entries: Sequence[Entry],
    families: Sequence[str] | None,
    statuses: Sequence[str],
) -> AsdRayError:
    where = ledger.layout.url(ledger.layout.ledger)
    if not entries:
        machines = {entry.record.machine for entry in ledger.entries()}
        return unknown(f"machine in {where}", machine, machines) if machines else AsdRayError(f"{where}: no trials")
    present = sorted({entry.record.family for entry in entries})
    if families is not None and not set(families) & set(present):
        return AsdRayError(f"{where}: no trial of {machine} is of {', '.join(families)}; it has {', '.join(present)}")
    splits = sorted({name for entry in entries if entry.record.status in statuses for name in entry.splits})
    return AsdRayError(
        f"{where}: {len(entries)} trials of {machine}, but none that is {' or '.join(statuses)} has scores of the "
        f"split {split!r} ({'they have ' + ', '.join(splits) if splits else 'none has any scores'})"
    )


def _clips(ledger: Ledger, candidates: Sequence[_Candidate], split: str, missing: Missing) -> ClipUnion:
    """The clips of the matrix. Candidates with equal digests have equal clips, so one per digest is read."""
    first: dict[str, _Candidate] = {}
    count: dict[str, int] = {}
    for candidate in candidates:
        first.setdefault(candidate.digest, candidate)
        count[candidate.digest] = count.get(candidate.digest, 0) + 1
    ordered = sorted(first, key=lambda digest: -count[digest])  # the most common first
    union = ClipUnion(frozen_after_first=missing == "drop")
    for digest in ordered:
        candidate = first[digest]
        group = candidate.entry.splits[split].row_group
        try:
            [table] = read_rows(ledger.files, candidate.entry.stored, [group], CLIP_COLUMNS)
        except FileError as error:
            raise _BadFilesError({candidate.entry.stored: error}) from error
        rows = table.slice(candidate.where.start, candidate.where.stop - candidate.where.start)
        union.add(digest, {name: rows[name].to_pylist() for name in CLIP_COLUMNS}, str(candidate))
    return union


def _covering(candidates: Sequence[_Candidate], union: ClipUnion, missing: Missing) -> list[_Candidate]:
    lacking = [candidate for candidate in candidates if union.lacks(candidate.digest)]
    if missing == "nan" or not lacking:
        return list(candidates)
    if missing == "drop":
        return [candidate for candidate in candidates if not union.lacks(candidate.digest)]
    worst = lacking[0]
    clips = union.lacks(worst.digest)
    fingerprints = {candidate.entry.record.data_fingerprint for candidate in candidates} - {""}
    hint = " (these trials are of different datasets: use one dataset per run)" if len(fingerprints) > 1 else ""
    raise AsdRayError(
        f"{len(lacking)} of {len(candidates)} candidates lack clips that others scored{hint}; first {worst}, which "
        f"lacks {len(clips)} of {len(union.clips)}, first {clips[0]!r}. Score them, or leave such candidates out "
        "(missing='drop')"
    )


def _scores(ledger: Ledger, candidates: Sequence[_Candidate], split: str, union: ClipUnion) -> npt.NDArray[np.float32]:
    """Read the score columns, files in parallel, directly into the rows of the matrix."""
    is_complete = all(not union.lacks(candidate.digest) for candidate in candidates)
    scores = np.empty((len(candidates), len(union.clips)), dtype=np.float32)
    if not is_complete:
        scores.fill(np.nan)
    by_file: dict[Stored, list[int]] = {}
    for row, candidate in enumerate(candidates):
        by_file.setdefault(candidate.entry.stored, []).append(row)

    def read(item: tuple[Stored, list[int]]) -> dict[Stored, FileError]:
        stored, rows = item
        groups = sorted({candidates[row].entry.splits[split].row_group for row in rows})
        try:
            tables = read_rows(ledger.files, stored, groups, ["score"])
        except FileError as error:
            return {stored: error}
        columns = {group: _numpy(table) for group, table in zip(groups, tables, strict=True)}
        for row in rows:
            candidate = candidates[row]
            values = columns[candidate.entry.splits[split].row_group][candidate.where]
            source, target = union.alignment(candidate.digest)
            scores[row, target] = values[source]
        return {}

    if bad := {
        stored: error for errors in parallel(ledger.files, read, by_file.items()) for stored, error in errors.items()
    }:
        raise _BadFilesError(bad)
    return scores


def _numpy(table: Any) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = table.column(0).to_numpy()
    return values


def _frame(candidates: Sequence[_Candidate]) -> pd.DataFrame:
    import pandas as pd

    shown = ("trial", "name", "family", "number", "seed", "status", "objective", "seconds", "source", "protocol")
    columns: dict[str, list[Any]] = {name: [getattr(c.entry.record, name) for c in candidates] for name in shown}
    columns["variant"] = [candidate.variant for candidate in candidates]
    columns["is_best"] = [candidate.variant == candidate.entry.record.variant for candidate in candidates]
    columns["objective"] = [np.nan if value is None else value for value in columns["objective"]]
    columns["seconds"] = [np.nan if value is None else value for value in columns["seconds"]]
    order = ("trial", "variant", "name", "family", "number", "seed", "status", "objective", "is_best")
    return pd.DataFrame(columns)[[*order, "seconds", "source", "protocol"]]
