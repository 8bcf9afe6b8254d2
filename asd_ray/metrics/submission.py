"""A team's submission: its csv files read, and matched to the ground truth by name, never by order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics.csv_rows import read_values, shortened
from asd_ray.metrics.file_names import DECISION, SCORE, Cell, FileName, parse, shapes, years_of
from asd_ray.metrics.matching import Files, match_files
from asd_ray.metrics.truth import read_truth
from asd_ray.metrics.years import check_year

__all__ = ["Submission", "match", "read_submission", "read_truth"]

_COLUMNS = ["machine", "id", "domain", "clip"]


@dataclass(frozen=True)
class Submission:
    """What a folder of csv files says; `problems` is what is wrong with it whatever the ground truth."""

    folder: Path
    year: int
    scores: pd.DataFrame  # machine, id, domain ("" but in 2021), clip as written, score
    decisions: pd.DataFrame  # the same with decision (0 or 1); may be empty
    problems: list[str] = field(default_factory=list)
    files: dict[tuple[str, Cell], str] = field(default_factory=dict)  # (kind, cell) -> the file that was read
    misnamed: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # the problems of misnamed files: harmless if nothing is missing
    passed_over: list[str] = field(default_factory=list)  # official score files beside a baseline's whole export

    @property
    def system(self) -> str:
        return self.folder.resolve().name


def read_submission(folder: Path, year: int, *, scores_only: bool = False) -> Submission:
    """Read the csv files of one system; other files are left alone, and nothing wrong raises: see `problems`.

    `scores_only` says that no decisions are asked for, so that an official score file counts without one.
    """
    folder = Path(folder)
    check_year(year)
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; a submission is a folder of csv files")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv" and p.name[0] != "." and p.is_file())
    named = {path: name for path in paths if (name := parse(path.name, year))}
    misnamed = [path.name for path in paths if path not in named]
    strays = _misnamed(misnamed, year)
    problems = list(strays)
    chosen, doubled, passed_over = _one_a_cell(named, scores_only)
    if not chosen and not misnamed:
        problems.append(f"{folder} holds no csv file; {year} has {shapes(year)}")
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
        passed_over=passed_over,
    )


def match(truth: pd.DataFrame, submission: Submission, *, scores_only: bool = False) -> pd.DataFrame:
    """The long table of the truth's clips with score and decision: machine, id, domain, clip, label, score, decision.

    Clips are found by name, short or long. All that is wrong is raised at once. `scores_only` asks for no decisions
    (and looks at none); 2020 has none. Misnamed files are problems only if something else is wrong, as they may be
    what is missing: a caller should show the `strays` of a submission that matches.
    """
    if scores_only and submission.passed_over:
        raise AsdRayError(
            f"{submission.folder}: {shortened(submission.passed_over)} gave way to a baseline's own export with "
            "decisions; read the submission with scores_only too"
        )
    decisions = None if scores_only or submission.year == 2020 else submission.decisions
    files = Files(submission.year, submission.files, submission.misnamed, decisions is not None)
    table, problems = match_files(truth, submission.scores, decisions, files)
    ours = submission.problems
    if scores_only:
        ours = [problem for problem in ours if not problem.startswith(DECISION)]
    if set(ours) - set(submission.strays) or problems:
        problems = ours + problems
        raise AsdRayError(
            "\n".join([f"{submission.folder} has {len(problems)} problem(s):", *(f"  {p}" for p in problems)])
        )
    return table


def _misnamed(names: list[str], year: int) -> list[str]:
    """One problem a file, but one for all files that are named as in other years."""
    problems = []
    of_years: dict[str, list[str]] = {}
    for name in names:
        others = ", ".join(map(str, years_of(name)))
        if others:
            of_years.setdefault(others, []).append(name)
        else:
            problems.append(f"{name} is misnamed: {year} has {shapes(year)}; rename or remove it")
    for others, alike in of_years.items():
        problems.append(
            f"{len(alike)} file(s) are named as in {others}, not as in {year}: {shortened(alike)}; try that year"
        )
    return problems


def _one_a_cell(
    named: dict[Path, FileName], scores_only: bool
) -> tuple[dict[tuple[str, Cell], Path], list[str], list[str]]:
    """Which file to read for each kind and cell, what is wrong, and which official score files are not read.

    As with the evaluators an official pair counts, else the baseline's own pair, else what there is of official
    files; but a score of one and a decision of the other are of two systems, and no pair.
    """
    wanted = {SCORE} if scores_only else {SCORE, DECISION}
    official: dict[Cell, dict[str, Path]] = {}
    exported: dict[Cell, dict[str, list[Path]]] = {}
    for path, name in named.items():
        if name.official:
            official.setdefault(name.cell, {})[name.kind] = path
        else:
            exported.setdefault(name.cell, {}).setdefault(name.kind, []).append(path)
    chosen = {(kind, cell): path for cell, kinds in official.items() for kind, path in kinds.items()}
    problems, passed_over = [], []
    for cell, kinds in exported.items():
        ours = official.get(cell, {})
        if wanted <= set(ours) or (ours and set(kinds) <= set(ours)):
            continue
        mixed = bool(ours) and not wanted <= set(kinds)
        if mixed:
            names = [path.name for path in [*ours.values(), *itertools.chain(*kinds.values())]]
            problems.append(
                f"{', '.join(names)}: official files beside exports, neither whole; keep one system's files"
            )
        elif SCORE in ours:
            passed_over.append(ours[SCORE].name)
        for kind in () if mixed else ours:
            del chosen[kind, cell]
        for kind, (first, *others) in kinds.items():
            chosen.setdefault((kind, cell), first)
            problems += [
                f"{other.name} and {first.name} are of the same machine and section; keep one" for other in others
            ]
    return chosen, problems, passed_over
