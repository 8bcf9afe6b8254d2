"""What csv files beside the clips tell: attributes, attributes published later, and evaluation labels."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asd_ray._files import check_readable, local
from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import pairs
from asd_ray.clips.layouts.dcase_sections import LABELLED, hidden_name
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, UNKNOWN, Clip, Problem, attributes_text
from asd_ray.errors import AsdRayError
from asd_ray.metrics.csv_rows import LARGEST

_ATTRIBUTES = re.compile(r"attributes_\d{2}\.csv")
_LIST = re.compile(r"eval_data_list(_20\d\d)?\.csv")
_CORRESPONDENCE = ["source_file_name", "target_file_name"]  # attributes withheld in the challenge, published after it

Key = tuple[str, str]  # machine, clip


def read_beside(
    tree: Tree, clips: Sequence[Clip], year: int | None, labels: Path | None
) -> tuple[list[Clip], list[Problem]]:
    """`clips` completed by the csv files in the tree, and by `labels` (a folder of label lists kept elsewhere)."""
    if year is None:
        if labels is not None:
            raise AsdRayError(
                f"{labels}: label lists go with a DCASE layout; name it with --layout, or leave --labels out"
            )
        return list(clips), []
    problems: list[Problem] = []
    known: dict[Key, dict[str, str]] = {}
    for file in tree.csv:
        try:
            known.update(_attributes_in(tree, file, clips, problems))
        except (OSError, UnicodeError, csv.Error) as error:
            cure = "save it as UTF-8 text, or remove it if it is not of this dataset"
            problems.append(Problem("warning", file.path, f"left out: cannot be read as csv ({error})", cure))
    done = [
        dataclasses.replace(c, attributes=attributes_text(known[c.machine, c.clip]))
        if (c.machine, c.clip) in known
        else c
        for c in clips
    ]
    for folder in _label_folders(tree, labels):
        try:
            done = _labelled(done, folder, year, problems)
        except AsdRayError as error:
            if labels is not None:
                raise
            problems.append(Problem("warning", str(folder), f"label lists left out: {error}", "fix or remove them"))
    return done, problems


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
    here = {c.clip for c in clips if c.machine == machine}
    found: dict[Key, dict[str, str]] = {}
    absent = 0
    for row in list(_rows(path))[1:]:
        if not row or not row[0]:
            continue
        name = _name(row[0])
        absent += name not in here
        values = [cell.strip() for cell in row[1:]]
        found[machine, name] = {k: v for k, v in zip(values[::2], values[1::2], strict=False) if k}
    if absent:
        rule = f"lists {absent} of {len(found)} clips that are not here"
        problems.append(Problem("warning", file.path, rule, "unpack the dataset again, unless you took a part of it"))
    return found


def _published_later(path: Path, clips: Sequence[Clip]) -> dict[Key, dict[str, str]]:
    """The correspondence lists name no machine: the file's own name or folder does."""
    machines = {c.machine for c in clips}
    said = [m for m in machines if m in path.stem or m in path.parent.parts[-1:]]
    machine = max(said, key=len, default=next(iter(machines)) if len(machines) == 1 else "")
    return {(machine, _name(row[0])): _tail(row[1]) for row in list(_rows(path))[1:] if len(row) == 2}


def _tail(long_name: str) -> dict[str, str]:
    match = LABELLED.fullmatch(_name(long_name)[:-4])
    return pairs(match[6] or "") if match else {}


def _label_folders(tree: Tree, labels: Path | None) -> list[Path]:
    """Folders that hold label lists in one of the official shapes."""
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
    here, machines = {(c.machine, c.clip) for c in clips if c.split == TEST}, {c.machine for c in clips}
    absent = [key for key in truth if key not in here and key[0] in machines]
    if unlisted:
        rule = f"has no label for {len(unlisted)} test clips, e.g. {'/'.join(min(unlisted))}"
        problems.append(Problem("warning", str(folder), rule, "they get scores but are not measured"))
    if absent:
        rule = f"labels {len(absent)} clips that are not here, e.g. {'/'.join(map(str, min(absent)))}"
        problems.append(
            Problem("warning", str(folder), rule, "unpack the evaluation set again, unless you took a part")
        )
    done = []
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
        done.append(c)
    return done
