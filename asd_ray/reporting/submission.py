"""Official submission files of a DCASE year: written from a run's final ensembles, and checked in any folder.

`metrics/submission_files.py` reads submissions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from asd_ray._csv import official_csv
from asd_ray._files import is_address
from asd_ray._terminal import typed
from asd_ray.errors import AsdRayError, listing
from asd_ray.ledger.own_folders import refuse_own_folder
from asd_ray.metrics.csv_rows import shortened
from asd_ray.metrics.editions import DECISION, DOMAINS, SCORE, Cell, ClipNames, Edition, scored_edition, scored_editions
from asd_ray.metrics.matching import Files, match_files
from asd_ray.metrics.submission_files import Submission, read_submission

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger


class Written(NamedTuple):
    """The files that were written, and notes on them."""

    folder: Path
    year: int
    files: list[str]
    clips: int
    notes: list[str]


class Checked(NamedTuple):
    """The result of a check. A folder with `problems` is no valid submission; `notes` are only hints."""

    problems: list[str]
    notes: list[str]
    files: int
    clips: int


def write_submission(ledger: Ledger, folder: str | Path, *, year: int | None = None) -> Written:
    """Write the files of the final ensembles of all machines; the folder is complete or not there.

    The year is the dataset's unless `year` is given. If the run has clips of an evaluation set, only these are
    written.
    """
    from asd_ray.ensembling import finals, scores_of

    target = _local(folder)
    ensembles = finals(ledger)
    if not ensembles:
        raise AsdRayError(
            f"{ledger.layout.root}: no ensemble was chosen yet; run: "
            + typed("asd-ray", "ensemble", "--run", ledger.layout.root)
        )
    edition = _edition_of(ensembles, year)
    scored = {machine: _test(scores_of(ledger, ensemble)) for machine, ensemble in ensembles.items()}
    cells, notes = _cells(scored, edition)
    contents: dict[str, str] = {}
    for cell, clips in cells.items():
        contents[edition.files.spell(SCORE, cell)] = _rows(clips["clip"], clips["score"].astype(float))
        if edition.asks_for_decisions:
            decisions = clips["score"] > ensembles[cell[0]]["threshold"]["value"]
            contents[edition.files.spell(DECISION, cell)] = _rows(clips["clip"], decisions.astype(int))
    without = sorted({record.machine for record in ledger.records()} - set(ensembles))
    if without:
        cure = typed("asd-ray", "ensemble", *without, "--run", ledger.layout.root)
        notes.append(f"{', '.join(without)}: no ensemble was chosen, so it is left out; run: {cure}")
    transductive = [machine for machine, ensemble in ensembles.items() if ensemble["transductive"]]
    if transductive:
        notes.append(f"transductive, by scores of the test clips themselves: {', '.join(transductive)}")
    _put(target, contents)
    return Written(target, edition.year, sorted(contents), sum(map(len, cells.values())), notes)


def check_submission(folder: str | Path, year: int, ledger: Ledger | None = None) -> Checked:
    """Everything wrong with a folder: against a run's test clips if given, else against the year's evaluation set."""
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


def _local(folder: str | Path) -> Path:
    if is_address(folder):
        raise AsdRayError(f"{folder}: a submission is a folder on a local disk; write it there and copy it")
    refuse_own_folder(folder, "name another folder with --submission")
    return Path(os.path.realpath(Path(folder).expanduser()))


def _edition_of(ensembles: Mapping[str, Mapping[str, Any]], year: int | None) -> Edition:
    """The edition of `year`, or else of the dataset that the ensembles were chosen on."""
    if year is not None:
        return scored_edition(year)
    years = {machine: ensemble["dataset"]["year"] for machine, ensemble in ensembles.items()}
    without = [machine for machine, of_machine in years.items() if of_machine is None]
    if without:
        raise AsdRayError(
            f"{', '.join(without)}: the dataset is of no DCASE year, so it is not known which files to write; if its "
            "clips are named as in a year, name that year: --year 2020"
        )
    if len(set(years.values())) > 1:
        pairs = ", ".join(f"{machine} {of_machine}" for machine, of_machine in years.items())
        raise AsdRayError(f"the machines are of several years ({pairs}); name the year of the files: --year 2022")
    of_dataset = int(next(iter(years.values())))
    known = {edition.year: edition for edition in scored_editions()}
    if of_dataset not in known:
        latest = max(known)
        raise AsdRayError(f"the files of {of_dataset} are not known; to name them as in another year: --year {latest}")
    return known[of_dataset]


def _test(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["split"] == "test"]


def _cells(scored: Mapping[str, pd.DataFrame], edition: Edition) -> tuple[dict[Cell, pd.DataFrame], list[str]]:
    """The clips of each file in order of name, with notes; of the evaluation set if the run has one."""
    problems, parts = [], []
    for machine, clips in scored.items():
        matches = [edition.clips.pattern.fullmatch(clip) for clip in clips["clip"]]
        rows = list(zip(clips["clip"], clips["id"], matches, strict=True))
        wrong = [clip for clip, id, match in rows if not match or match["id"] != id]
        if wrong:
            example = edition.clips.spell(next(iter(edition.evaluation.values()))[0], DOMAINS[0])
            problems.append(
                f"{machine}: {len(wrong)} of {len(clips)} test clips have no official name of {edition.year} and "
                f"their id, such as {example}: {shortened(wrong, 2)}"
            )
        elif edition.files.parse(edition.files.spell(SCORE, (machine, "00", DOMAINS[0]))) is None:
            problems.append(f"{machine}: no file can be named by it, since official machine names have no underscore")
        else:
            groups = [match.groupdict() for match in matches if match]
            labelled = [bool(group["label"]) for group in groups]
            domains = [group.get("domain", "") for group in groups]
            parts.append(clips.assign(machine=machine, labelled=labelled, domain=domains))
    if problems:
        raise AsdRayError(
            f"no submission of {edition.year} can be made of these clips:\n{listing(problems)}\n"
            "name the year of the dataset with --year; other recordings have no official files"
        )
    every, notes = pd.concat(parts, ignore_index=True), []
    if every["labelled"].all():
        notes.append(
            f"these are development clips, whose names contain the labels; a submission of {edition.year} has others"
        )
    elif every["labelled"].any():
        development = every[every["labelled"]]
        ids = ", ".join(sorted(set(development["machine"] + " " + development["id"])))
        notes.append(f"{len(development)} development clips are left out, as the run has an evaluation set: {ids}")
        every = every[~every["labelled"]]
    cells = {
        (str(machine), str(id), str(domain)): rows.sort_values("clip")
        for (machine, id, domain), rows in every.groupby(["machine", "id", "domain"])
    }
    return cells, notes


def _rows(names: pd.Series[Any], values: pd.Series[Any]) -> str:
    """Numbers with as many digits as reading them back exactly needs."""
    return official_csv(zip(names, values.tolist(), strict=True))


def _put(folder: Path, contents: Mapping[str, str]) -> None:
    """Write the files to a temporary folder and rename it; an older folder of the same files is replaced."""
    if folder.exists() and not folder.is_dir():
        raise AsdRayError(f"{folder} is a file; a submission is a folder: name another with --submission")
    others = sorted({path.name for path in folder.iterdir()} - set(contents)) if folder.exists() else []
    if others:
        raise AsdRayError(
            f"{folder} holds files that this submission does not: {shortened(others)}; name a new or an empty folder"
        )
    mark = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    aside, old = (folder.with_name(f".{folder.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        aside.mkdir(parents=True)
        for name, text in contents.items():
            (aside / name).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(aside, folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.rename(old, folder)
            raise
    except OSError as error:
        raise AsdRayError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing that was there is lost. Free some "
            "space, or name another folder with --submission"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _of_run(ledger: Ledger, submission: Submission, edition: Edition) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The clips that a submission of this run has, in the form of a ground truth; no problems; and notes."""
    scored = {}
    for entry in ledger.entries():
        if entry.record.machine not in scored and "test" in entry.splits:
            rows = ledger.scores(entry.record, ["test"])
            scored[entry.record.machine] = rows.drop_duplicates("clip")
    if not scored:
        raise AsdRayError(f"{ledger.layout.root}: no trial has scores of test clips, so there is nothing to expect")
    cells, _ = _cells(scored, edition)
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

    The clips are those `named` by a score or a decision file: the official lists are no part of this package.
    """
    read = dict.fromkeys(cell for _, cell in submission.files)
    official, problems, notes = list(_official_cells(edition)), [], []
    if not set(official) & set(read):
        official = []
        if read:
            problems.append(
                f"no file is of a machine of {edition.year}'s evaluation set ({', '.join(edition.evaluation)}); if "
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
    """The rows whose clip names belong to the file they are in, and what is wrong with the others."""
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
