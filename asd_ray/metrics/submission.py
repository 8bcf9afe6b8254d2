"""A team's submission: its csv files read, and matched to the ground truth by name, never by order."""

from __future__ import annotations

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

    @property
    def system(self) -> str:
        return self.folder.resolve().name


def read_submission(folder: Path, year: int) -> Submission:
    """Read the csv files of one system; other files are left alone, and nothing wrong raises: see `problems`."""
    folder = Path(folder)
    check_year(year)
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; a submission is a folder of csv files")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".csv" and not p.name.startswith("."))
    named = {path: name for path in paths if (name := parse(path.name, year))}
    misnamed = [path.name for path in paths if path not in named]
    problems = _misnamed(misnamed, year)
    chosen, doubled = _one_a_cell(named)
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
    )


def match(truth: pd.DataFrame, submission: Submission, *, scores_only: bool = False) -> pd.DataFrame:
    """The long table of the truth's clips with score and decision: machine, id, domain, clip, label, score, decision.

    Clips are found by name, short or long. All that is wrong is raised at once. `scores_only` asks for no decisions
    (and looks at none); 2020 has none.
    """
    decisions = None if scores_only or submission.year == 2020 else submission.decisions
    files = Files(submission.year, submission.files, submission.misnamed, decisions is not None)
    table, problems = match_files(truth, submission.scores, decisions, files)
    ours = submission.problems
    if scores_only:
        ours = [problem for problem in ours if not problem.startswith(DECISION)]
    problems = ours + problems
    if problems:
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


def _one_a_cell(named: dict[Path, FileName]) -> tuple[dict[tuple[str, Cell], Path], list[str]]:
    """Which file to read for each kind and cell: as the evaluators, the official names, else the baseline's own."""
    official = {(name.kind, name.cell): path for path, name in named.items() if name.official}
    complete = {cell for kind, cell in official if kind == SCORE and (DECISION, cell) in official}
    doubled = []
    exported: dict[tuple[str, Cell], Path] = {}
    for path, name in named.items():
        key = (name.kind, name.cell)
        if name.official or name.cell in complete:
            continue
        if key in exported:
            doubled.append(f"{path.name} and {exported[key].name} are of the same machine and section; keep one")
        exported[key] = path
    return official | exported, doubled
