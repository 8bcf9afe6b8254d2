"""Checking a folder of official submission files, against a run or against the year's evaluation set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics.csv_rows import shortened
from asd_ray.metrics.editions import DECISION, DOMAINS, SCORE, Cell, ClipNames, Edition, scored_edition
from asd_ray.metrics.matching import Files, match_files
from asd_ray.metrics.submission_files import Submission, read_submission
from asd_ray.reporting.submission import clips_by_file

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger


class Checked(NamedTuple):
    """The result of a check. A folder with `problems` is not a valid submission; `notes` are only hints."""

    problems: list[str]
    notes: list[str]
    files: int
    clips: int


def check_submission(folder: str | Path, year: int, ledger: Ledger | None = None) -> Checked:
    """Find everything wrong with a folder, compared with a run's test clips or with the year's evaluation set."""
    edition = scored_edition(year)
    submission = read_submission(Path(folder), year)
    problems, notes = list(submission.problems), _out_of_order(submission)
    tables = {SCORE: submission.scores, DECISION: submission.decisions}
    if ledger is None:
        for kind, table in tables.items():
            tables[kind], wrong = _well_named(submission, edition, kind, table)
            problems += wrong
        expected, wrong, more = _official_set(submission, edition, pd.concat(tables.values()))
    else:
        expected, wrong, more = _of_run(ledger, submission, edition)
    problems += wrong
    if len(expected):
        decisions = tables[DECISION] if edition.asks_for_decisions else None
        files = Files(edition, submission.files, submission.misnamed, decisions is not None)
        problems += match_files(expected, tables[SCORE], decisions, files)[1]
    return Checked(problems, notes + more, len(submission.files), len(submission.scores))


def _of_run(ledger: Ledger, submission: Submission, edition: Edition) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The clips that a submission of this run has, in the form of a ground truth; no problems; and notes."""
    scored = {}
    for entry in ledger.entries():
        if entry.record.machine not in scored and "test" in entry.splits:
            rows = ledger.scores(entry.record, ["test"])
            scored[entry.record.machine] = rows.drop_duplicates("clip")
    if not scored:
        raise AsdRayError(f"{ledger.layout.root}: no trial has scores of test clips, so there is nothing to expect")
    cells, _ = clips_by_file(scored, edition)
    notes = [
        f"{name} is ignored: {ledger.layout.root} has no clips of it"
        for (_, cell), name in submission.files.items()
        if cell not in cells
    ]
    columns = ["machine", "id", "domain", "clip", "label"]
    return pd.concat(cells.values(), ignore_index=True)[columns], [], notes


def _official_set(
    submission: Submission, edition: Edition, named: pd.DataFrame
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The clips of the year's evaluation set and of other files in the folder, with problems and notes.

    The clips are those `named` by a score or a decision file: the official lists are not part of this package.
    """
    read = dict.fromkeys(cell for _, cell in submission.files)
    official, problems, notes = list(_official_cells(edition)), [], []
    if not set(official) & set(read):
        official = []
        if read:
            problems.append(
                f"no file has a machine of {edition.year}'s evaluation set ({', '.join(edition.evaluation)}); if "
                "these are other machines, name the run to check them by: --run RUN"
            )
    others = [cell for cell in read if cell not in official]
    if official and others:
        names = shortened([" ".join(part for part in cell if part) for cell in others])
        notes.append(f"not in the evaluation set of {edition.year}, checked only against each other: {names}")
    rows: list[tuple[str, ...]] = []
    for cell in [*official, *others]:
        names_of_cell = named["clip"][_mask(named, cell)] if cell in read else ["any clip"]
        rows += [(*cell, name) for name in dict.fromkeys(edition.clips.official(name) for name in names_of_cell)]
    return pd.DataFrame(rows, columns=["machine", "id", "domain", "clip"]).assign(label="unknown"), problems, notes


def _well_named(
    submission: Submission, edition: Edition, kind: str, table: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose clip names belong to their file, and the problems of the others."""
    rows = zip(table["machine"], table["id"], table["domain"], table["clip"], strict=True)
    wrong: dict[Cell, list[str]] = {}
    for *parts, clip in rows:
        cell = (parts[0], parts[1], parts[2])
        if not _fits(edition.clips, clip, cell):
            wrong.setdefault(cell, []).append(clip)
    problems = [
        f"{submission.files[kind, cell]} names {len(clips)} clip(s) that do not belong to it: {shortened(clips)}; "
        f"{edition.year} has names like {edition.clips.spell(cell[1], cell[2])}"
        for cell, clips in wrong.items()
    ]
    rejected = np.zeros(len(table), bool)
    for cell, clips in wrong.items():
        rejected |= (_mask(table, cell) & table["clip"].isin(clips)).to_numpy()
    return table[~rejected], problems


def _fits(names: ClipNames, clip: str, cell: Cell) -> bool:
    match = names.pattern.fullmatch(clip)
    if match is None:
        return False
    _, id, domain = cell
    return match["id"] == id and match.groupdict().get("domain", domain) == domain


def _official_cells(edition: Edition) -> Iterator[Cell]:
    for machine, ids in edition.evaluation.items():
        for id in ids:
            for domain in DOMAINS if edition.files.has_domain else ("",):
                yield machine, id, domain


def _mask(table: pd.DataFrame, cell: Cell) -> Any:
    machine, id, domain = cell
    return (table["machine"] == machine) & (table["id"] == id) & (table["domain"] == domain)


def _out_of_order(submission: Submission) -> list[str]:
    files: list[str] = []
    for kind, table in ((SCORE, submission.scores), (DECISION, submission.decisions)):
        for (machine, id, domain), rows in table.groupby(["machine", "id", "domain"], sort=False):
            if not _is_sorted(rows["clip"].tolist()):
                files.append(submission.files[kind, (str(machine), str(id), str(domain))])
    if not files:
        return []
    return [f"{len(files)} file(s) are not sorted by clip name; the evaluators sort them: {shortened(files)}"]


def _is_sorted(names: Sequence[str]) -> bool:
    return all(one <= other for one, other in zip(names, names[1:], strict=False))
