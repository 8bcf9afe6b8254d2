"""The csv files beside the clips: attributes, attributes published later, and labels of the evaluation set."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import pairs
from asd_ray.clips.layouts.dcase_sections import LABELLED, hidden_name
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, UNKNOWN, Clip, Problem, attributes_text
from asd_ray.errors import AsdRayError
from asd_ray.metrics.csv_rows import LARGEST
from asd_ray.storage.places import check_readable, local

_ATTRIBUTES = re.compile(r"attributes_\d{2}\.csv")
_LIST = re.compile(r"eval_data_list(_20\d\d)?\.csv")
_CORRESPONDENCE = ["source_file_name", "target_file_name"]  # attributes withheld in the challenge, published after it

Key = tuple[str, str]  # machine, clip


def read_beside(
    tree: Tree, clips: Sequence[Clip], year: int | None, labels: Path | None
) -> tuple[list[Clip], list[Problem]]:
    """`clips` with what the csv files in the tree add, and those in `labels`, a folder of label lists elsewhere."""
    if year is None:
        if labels is not None:
            raise AsdRayError(
                f"{labels}: label lists need a DCASE layout; name it with --layout, or leave --labels out"
            )
        return list(clips), []
    problems: list[Problem] = []
    attributes: dict[Key, dict[str, str]] = {}
    for file in tree.csv:
        try:
            attributes.update(_attributes_in(tree, file, clips, problems))
        except (OSError, UnicodeError, csv.Error) as error:
            cure = "save it as UTF-8 text, or remove it if it does not belong to this dataset"
            problems.append(Problem("warning", file.path, f"left out: cannot be read as csv ({error})", cure))
    completed = [
        dataclasses.replace(c, attributes=attributes_text(attributes[c.machine, c.clip]))
        if (c.machine, c.clip) in attributes
        else c
        for c in clips
    ]
    for folder in _label_folders(tree, labels):
        try:
            completed = _labelled(completed, folder, year, problems)
        except AsdRayError as error:
            if labels is not None:
                raise
            problems.append(Problem("warning", str(folder), f"label lists left out: {error}", "fix or remove them"))
    return completed, problems


def _attributes_in(tree: Tree, file: File, clips: Sequence[Clip], problems: list[Problem]) -> dict[Key, dict[str, str]]:
    if _ATTRIBUTES.fullmatch(file.name):
        return _attributes(tree.root / file.path, file, clips, problems)
    if not _LIST.fullmatch(file.name) and _header(tree.root / file.path) == _CORRESPONDENCE:
        return _published_later(tree.root / file.path, clips)
    return {}


def _rows(path: Path) -> Iterator[list[str]]:
    check_readable(path, LARGEST)
    with open(path, newline="", encoding="utf-8-sig") as file:
        yield from csv.reader(file)


def _header(path: Path) -> list[str]:
    return [cell.strip() for cell in next(_rows(path), [])]


def _name(cell: str) -> str:
    """``fan/train/section_00_….wav`` -> the clip's official name."""
    return re.sub(r"\.(wav|flac)$", "", cell.strip().rpartition("/")[2]) + ".wav"


def _attributes(path: Path, file: File, clips: Sequence[Clip], problems: list[Problem]) -> dict[Key, dict[str, str]]:
    machine = file.folders[-1] if file.folders else path.parent.name
    present = {c.clip for c in clips if c.machine == machine}
    attributes: dict[Key, dict[str, str]] = {}
    absent = 0
    for row in list(_rows(path))[1:]:
        if not row or not row[0]:
            continue
        name = _name(row[0])
        absent += name not in present
        values = [cell.strip() for cell in row[1:]]
        attributes[machine, name] = {k: v for k, v in zip(values[::2], values[1::2], strict=False) if k}
    if absent:
        rule = f"lists {len(attributes)} clips, of which {absent} are not in the folder"
        problems.append(Problem("warning", file.path, rule, "unpack the dataset again, unless you use a part of it"))
    return attributes


def _published_later(path: Path, clips: Sequence[Clip]) -> dict[Key, dict[str, str]]:
    """Attributes of a correspondence list. It has no column for the machine, but its file or folder is named by it."""
    machines = {c.machine for c in clips}
    named = [m for m in machines if m in path.stem or m in path.parent.parts[-1:]]
    machine = max(named, key=len, default=next(iter(machines)) if len(machines) == 1 else "")
    return {(machine, _name(row[0])): _tail(row[1]) for row in list(_rows(path))[1:] if len(row) == 2}


def _tail(long_name: str) -> dict[str, str]:
    match = LABELLED.fullmatch(_name(long_name)[:-4])
    return pairs(match[6] or "") if match else {}


def _label_folders(tree: Tree, labels: Path | None) -> list[Path]:
    """Folders that hold label lists in one of the official forms."""
    if labels is not None:
        labels = local(labels, "the folder of label lists")
        if not labels.is_dir():
            raise AsdRayError(f"{labels}: no such folder; give the folder that holds the label lists")
        return [labels]
    folders: set[Path] = set()
    for file in tree.csv:
        home = tree.root / file.path
        if _LIST.fullmatch(file.name):
            folders.add(home.parent)
        elif file.folders and file.folders[-1] == "ground_truth_data":
            folders.add(home.parent.parent)
    return sorted(folders)


def _labelled(clips: Iterable[Clip], folder: Path, year: int, problems: list[Problem]) -> list[Clip]:
    from asd_ray.metrics.ground_truth import read_truth

    clips = list(clips)
    truth = {(row.machine, hidden_name(str(row.clip))): row for row in read_truth(folder, year).itertuples()}
    hidden = {(c.machine, c.clip) for c in clips if c.split == TEST and c.label == UNKNOWN}
    unlisted = [key for key in hidden if key not in truth]
    present, machines = {(c.machine, c.clip) for c in clips if c.split == TEST}, {c.machine for c in clips}
    absent = [key for key in truth if key not in present and key[0] in machines]
    if unlisted:
        rule = f"has no label for {len(unlisted)} test clips, e.g. {'/'.join(min(unlisted))}"
        problems.append(Problem("warning", str(folder), rule, "they are scored, but not evaluated"))
    if absent:
        rule = f"labels {len(absent)} clips that are not in the folder, e.g. {'/'.join(map(str, min(absent)))}"
        problems.append(
            Problem("warning", str(folder), rule, "unpack the evaluation set again, unless you use a part of it")
        )
    labelled = []
    for c in clips:
        row = truth.get((c.machine, c.clip)) if (c.machine, c.clip) in hidden else None
        if row is not None:
            attributes = _tail(str(row.full_name or row.alias))
            c = dataclasses.replace(
                c,
                label=ANOMALY if row.label else NORMAL,
                domain=c.domain or str(row.domain),
                attributes=attributes_text(attributes) if attributes else c.attributes,
            )
        labelled.append(c)
    return labelled
