"""The official scores of one or several systems, from their folders of submission files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.metrics.ground_truth import read_truth
from asd_ray.metrics.official import Official, official_score
from asd_ray.metrics.submission_files import match, read_submission


@dataclass(frozen=True)
class Evaluation:
    """The systems that could be scored, and what is wrong with the others."""

    year: int
    systems: Mapping[Path, Official]  # by the folder of their files
    folders: int  # systems that were asked for
    warnings: Sequence[str]  # of systems that were scored all the same
    problems: Sequence[str]  # one message per system that could not be scored

    def to_json(self) -> Any:
        """The entry of a single system, or ``{systems: …}`` of several; None if no system could be scored."""
        entries = [official.entry(str(folder)) for folder, official in self.systems.items()]
        if not entries:
            return None
        if self.folders == 1:
            return entries[0]
        names = [folder.resolve().name for folder in self.systems]
        keys = [
            name if names.count(name) == 1 else str(folder) for name, folder in zip(names, self.systems, strict=True)
        ]
        return {"format": "asd-golden/1", "year": self.year, "systems": dict(zip(keys, entries, strict=True))}


def evaluate_submissions(
    truth: Path, folders: Sequence[Path], year: int, *, scores_only: bool = False, bug_compatible: bool = False
) -> Evaluation:
    """Score each system by the rules of `year`. A wrong system does not stop the others: see `Evaluation.problems`.

    Each of `folders` is a system's, or holds the folders of several systems. `truth` is the folder of the ground truth.
    """
    if truth.is_file():
        raise AsdRayError(f"{truth} is a file; name its folder: --truth {truth.parent}")
    labels = read_truth(truth, year)
    paths = [system for folder in folders for system in systems_in(folder)]
    systems: dict[Path, Official] = {}
    warnings, problems = [], []
    for path in paths:
        try:
            submission = read_submission(path, year, scores_only=scores_only)
            table = match(labels, submission, scores_only=scores_only)
            warnings += [f"{path}: {stray}" for stray in submission.strays]
            systems[path] = official_score(table, year, bug_compatible=bug_compatible)
        except AsdRayError as error:
            problems.append(str(error))
    return Evaluation(year, systems, len(paths), warnings, problems)


def systems_in(folder: Path) -> list[Path]:
    """The folder itself, or, if it holds no csv file, the folders below it that do."""
    if not folder.is_dir():
        raise AsdRayError(f"{folder}: no such folder; --submission takes a folder of csv files")
    with_csv = sorted({path.parent for path in folder.rglob("*.csv") if path.name[0] != "." and path.is_file()})
    return [folder] if folder in with_csv or not with_csv else with_csv
