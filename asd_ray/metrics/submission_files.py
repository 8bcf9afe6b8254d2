"""A team's submission: its csv files are read, and matched to the ground truth by name, never by order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics.csv_rows import read_values, shortened
from asd_ray.metrics.editions import DECISION, SCORE, Cell, Edition, FileName, scored_edition, scored_editions
from asd_ray.metrics.matching import Files, match_files

_COLUMNS = ["machine", "id", "domain", "clip"]


@dataclass(frozen=True)
class Submission:
    """The content of a folder of csv files. `problems` lists what is wrong with it, before any ground truth is read."""

    folder: Path
    year: int
    scores: pd.DataFrame  # machine, id, domain ("" except in 2021), clip as written, score
    decisions: pd.DataFrame  # the same with decision (0 or 1); may be empty
    problems: list[str] = field(default_factory=list)
    files: dict[tuple[str, Cell], str] = field(default_factory=dict)  # (kind, cell) -> the file that was read
    misnamed: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # problems of misnamed files: warnings only, if nothing is missing
    replaced: list[str] = field(
        default_factory=list
    )  # official score files not read: a complete export was read instead

    @property
    def system(self) -> str:
        return self.folder.resolve().name


def read_submission(folder: Path, year: int, *, scores_only: bool = False) -> Submission:
    """Read the csv files of one system. Other files are ignored. Wrong content does not raise, see `problems`.

    With `scores_only`, no decisions are needed, so an official score file counts without a decision file.
    """
    folder = Path(folder)
    edition = scored_edition(year)
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; a submission is a folder of csv files")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv" and p.name[0] != "." and p.is_file())
    named = {path: name for path in paths if (name := edition.files.parse(path.name))}
    misnamed = [path.name for path in paths if path not in named]
    strays = _misnamed(misnamed, edition)
    problems = list(strays)
    chosen, doubled, replaced = _choose_files(named, scores_only)
    if not chosen and not misnamed:
        problems.append(f"{folder} holds no csv file; {year} has {edition.files.rule()}")
    scores: list[tuple[str, str, str, str, float]] = []
    decisions: list[tuple[str, str, str, str, int]] = []
    for (kind, cell), path in chosen.items():
        rows, wrong = read_values(path, decisions=kind == DECISION)
        problems += wrong
        if kind == SCORE:
            scores += [(*cell, clip, value) for clip, value in rows]
        else:
            decisions += [(*cell, clip, int(value)) for clip, value in rows]
    return Submission(
        folder=folder,
        year=year,
        scores=pd.DataFrame(scores, columns=[*_COLUMNS, "score"]),
        decisions=pd.DataFrame(decisions, columns=[*_COLUMNS, "decision"]),
        problems=problems + doubled,
        files={key: path.name for key, path in chosen.items()},
        misnamed=misnamed,
        strays=strays,
        replaced=replaced,
    )


def match(truth: pd.DataFrame, submission: Submission, *, scores_only: bool = False) -> pd.DataFrame:
    """The long table of the truth's clips with score and decision: machine, id, domain, clip, label, score, decision.

    Clips are found by name, short or long. All problems are raised at once. With `scores_only`, decisions are neither
    needed nor read; 2020 has none. Misnamed files are problems only if something else is wrong, since one of them may
    be what is missing; a caller should print the `strays` of a submission that matches.
    """
    if scores_only and submission.replaced:
        raise AsdRayError(
            f"{submission.folder}: {shortened(submission.replaced)} was replaced by a baseline's own export with "
            "decisions; read the submission without decisions, too (scores_only)"
        )
    edition = scored_edition(submission.year)
    decisions = submission.decisions if edition.asks_for_decisions and not scores_only else None
    files = Files(edition, submission.files, submission.misnamed, decisions is not None)
    table, problems = match_files(truth, submission.scores, decisions, files)
    of_reading = submission.problems
    if scores_only:
        of_reading = [problem for problem in of_reading if not problem.startswith(DECISION)]
    if set(of_reading) - set(submission.strays) or problems:
        problems = of_reading + problems
        raise AsdRayError(
            "\n".join([f"{submission.folder} has {len(problems)} problem(s):", *(f"  {p}" for p in problems)])
        )
    return table


def _misnamed(names: list[str], edition: Edition) -> list[str]:
    """One problem per file, but only one for all files that are named as in other years."""
    problems = []
    of_other_years: dict[str, list[str]] = {}
    for name in names:
        years = ", ".join(str(other.year) for other in scored_editions() if other.files.parse(name))
        if years:
            of_other_years.setdefault(years, []).append(name)
        else:
            rule = edition.files.rule()
            problems.append(f"{name} is misnamed: {edition.year} has {rule}; rename or remove it")
    for years, files in of_other_years.items():
        problems.append(
            f"{len(files)} file(s) are named as in {years}, not as in {edition.year}: {shortened(files)}; try that year"
        )
    return problems


def _choose_files(
    named: dict[Path, FileName], scores_only: bool
) -> tuple[dict[tuple[str, Cell], Path], list[str], list[str]]:
    """Which file to read for each kind and cell, what is wrong, and which official score files are not read.

    As in the evaluators, an official pair of files is read first, then the baseline's own pair, then single official
    files. The score of one and the decision of the other are no pair, since they come from two systems.
    """
    needed = {SCORE} if scores_only else {SCORE, DECISION}
    official: dict[Cell, dict[str, Path]] = {}
    exported: dict[Cell, dict[str, list[Path]]] = {}
    for path, name in named.items():
        if name.is_official:
            official.setdefault(name.cell, {})[name.kind] = path
        else:
            exported.setdefault(name.cell, {}).setdefault(name.kind, []).append(path)
    chosen = {(kind, cell): path for cell, kinds in official.items() for kind, path in kinds.items()}
    problems, replaced = [], []
    for cell, kinds in exported.items():
        own = official.get(cell, {})
        if needed <= set(own) or (own and set(kinds) <= set(own)):
            continue
        mixed = bool(own) and not needed <= set(kinds)
        if mixed:
            names = [path.name for path in [*own.values(), *itertools.chain(*kinds.values())]]
            problems.append(
                f"{', '.join(names)}: official files beside exports, neither whole; keep one system's files"
            )
        elif SCORE in own:
            replaced.append(own[SCORE].name)
        for kind in () if mixed else own:
            del chosen[kind, cell]
        for kind, (first, *others) in kinds.items():
            chosen.setdefault((kind, cell), first)
            problems += [
                f"{other.name} and {first.name} are of the same machine and section; keep one" for other in others
            ]
    return chosen, problems, replaced
