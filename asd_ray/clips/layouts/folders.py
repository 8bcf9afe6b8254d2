"""Plain folders: ``[machine/][id/][train|test/]normal/*.wav`` and, where there are any, ``abnormal/*.wav``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import ANOMALY_IN_TRAINING, Member, Named, clip, drawn_clips, drawn_note
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, TRAIN, Clip, Problem

LABEL_FOLDERS = {
    "normal": NORMAL,
    "abnormal": ANOMALY,
    "anomaly": ANOMALY,
    "anomalous": ANOMALY,
    "anomalies": ANOMALY,
}
_ID = re.compile(r"(?:id|section|unit|no)?[_-]?(\d+)", re.IGNORECASE)
ONLY_ID = "00"  # the id of a machine whose folder has none


class Folders:
    name = "folders"
    year = None
    expected = "normal/any-name.wav and abnormal/any-name.wav, below <machine>/ or <machine>/<id>/"

    def claims(self, tree: Tree) -> int:
        return sum(meaning_of(file, tree.root.name) is not None for file in tree.audio)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        named = Named()
        drawn: dict[tuple[str, str], list[Member]] = defaultdict(list)
        fixed: list[Clip] = []
        meanings = {file: meaning_of(file, tree.root.name) for file in tree.audio}
        whole_names = _ids_by_whole_name([known for known in meanings.values() if known is not None], named)
        for file, known in meanings.items():
            if known is None:
                named.misnamed.append(file)
                continue
            machine, split, label = known.machine, known.split, known.label
            id = whole_names.get(known.unit, known.id)
            name = _name(file, machine, tree.root.name)
            if split == TRAIN and label == ANOMALY:
                named.leave_out(file, ANOMALY_IN_TRAINING)
            elif split:
                fixed.append(clip(file, name=name, machine=machine, id=id, split=split, label=label))
            else:
                drawn[machine, id].append((file, name, label, {}))
        named.clips = [*fixed, *drawn_clips(drawn, split_seed)]
        if any(label == ANOMALY for group in drawn.values() for _, _, label, _ in group):
            named.split_seed = split_seed
            named.problems.append(drawn_note(split_seed))
        named.problems += _partly_split({c.machine for c in fixed} & {machine for machine, _ in drawn})
        return named


class FolderMeaning(NamedTuple):
    """What the folders above a file mean."""

    machine: str
    id: str
    split: str  # "" where there is no train/ or test/
    label: str
    unit: tuple[str, ...]  # the folders from the root to the unit (one machine, or one id of it)


def meaning_of(file: File, root_name: str) -> FolderMeaning | None:
    """The meaning of the folders above a file; None if the last one is no label."""
    parts = [root_name, *file.folders]
    if parts[-1].lower() not in LABEL_FOLDERS or len(parts) < 2:
        return None
    label = LABEL_FOLDERS[parts.pop().lower()]
    split = parts.pop().lower() if len(parts) > 1 and parts[-1].lower() in (TRAIN, TEST) else ""
    if len(parts) == 1:  # the root is the machine
        return FolderMeaning(parts[0], ONLY_ID, split, label, (*parts,))
    number = _ID.fullmatch(parts[-1])
    if number is not None:
        return FolderMeaning(parts[-2], number[1].zfill(2), split, label, (*parts,))
    if len(parts) == 2:  # root / machine
        return FolderMeaning(parts[-1], ONLY_ID, split, label, (*parts,))
    return FolderMeaning(parts[-2], parts[-1], split, label, (*parts,))


def _ids_by_whole_name(meanings: Iterable[FolderMeaning], named: Named) -> dict[tuple[str, ...], str]:
    """Unit folder -> its whole name as id, for folders of one machine with the same number, as unit_1 and unit_01."""
    same_id: dict[tuple[tuple[str, ...], str], set[tuple[str, ...]]] = defaultdict(set)
    for known in meanings:
        same_id[known.unit[:-1], known.id].add(known.unit)
    ids: dict[tuple[str, ...], str] = {}
    for (above, id), units in same_id.items():
        if len(units) > 1 and all(_ID.fullmatch(unit[-1]) for unit in units):
            ids |= {unit: unit[-1] for unit in units}
            names = ", ".join(sorted(unit[-1] for unit in units))
            rule = f"the folders {names} would all be id {id}; each is kept as a unit of its own, under its whole name"
            cure = "give them different numbers, or put the clips of one unit into one folder"
            named.problems.append(Problem("warning", "/".join(above), rule, cure))
    return ids


def _name(file: File, machine: str, root_name: str) -> str:
    """The path below the machine's folder. It is unique within the machine, and the same on every computer."""
    parts = (root_name, *file.folders, file.name)
    start = len(parts) - 1 - parts[::-1].index(machine)
    return "/".join(parts[start + 1 :])


def _partly_split(machines: set[str]) -> list[Problem]:
    """A warning for machines with some clips in train/ or test/ folders and some outside them."""
    return [
        Problem(
            "warning",
            machine,
            "some clips are in train/ or test/ and some are not; the split of the latter was drawn at random",
            "put all clips of the machine below train/ and test/, or none",
        )
        for machine in sorted(machines)
    ]
