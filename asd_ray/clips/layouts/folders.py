"""Plain folders: ``[machine/][id/][train|test/]normal/*.wav`` and, where there are any, ``abnormal/*.wav``."""

from __future__ import annotations

import re
from collections import defaultdict

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import Member, Named, clip, drawn_clips, drawn_note
from asd_ray.clips.table import ANOMALY, NORMAL, TEST, TRAIN, Clip, Problem

_LABEL = {
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
        return sum(place(file, tree.root.name) is not None for file in tree.audio)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        named = Named()
        drawn: dict[tuple[str, str], list[Member]] = defaultdict(list)
        fixed: list[Clip] = []
        for file in tree.audio:
            found = place(file, tree.root.name)
            if found is None:
                named.misnamed.append(file)
                continue
            machine, id, split, label = found
            name = _name(file, machine, tree.root.name)
            if split == TRAIN and label == ANOMALY:
                named.misnamed.append(file)
            elif split:
                fixed.append(clip(file, name=name, machine=machine, id=id, split=split, label=label))
            else:
                drawn[machine, id].append((file, name, label, {}))
        named.clips = [*fixed, *drawn_clips(drawn, split_seed)]
        if any(label == ANOMALY for group in drawn.values() for _, _, label, _ in group):
            named.split_seed = split_seed
            named.problems.append(drawn_note(split_seed))
        named.problems += _both_ways({c.machine for c in fixed} & {machine for machine, _ in drawn})
        return named


def place(file: File, root_name: str) -> tuple[str, str, str, str] | None:
    """(machine, id, split or "", label) of a file, or None where no folder above it is a label."""
    parts = [root_name, *file.folders]
    if parts[-1].lower() not in _LABEL or len(parts) < 2:
        return None
    label = _LABEL[parts.pop().lower()]
    split = parts.pop().lower() if len(parts) > 1 and parts[-1].lower() in (TRAIN, TEST) else ""
    if len(parts) == 1:  # the root is the machine
        return parts[0], ONLY_ID, split, label
    number = _ID.fullmatch(parts[-1])
    if number is not None:
        return parts[-2], number[1].zfill(2), split, label
    if len(parts) == 2:  # root / machine
        return parts[-1], ONLY_ID, split, label
    return parts[-2], parts[-1], split, label


def _name(file: File, machine: str, root_name: str) -> str:
    """The path below the machine's folder: unique within the machine, and the same on every computer."""
    parts = (root_name, *file.folders, file.name)
    start = len(parts) - 1 - parts[::-1].index(machine)
    return "/".join(parts[start + 1 :])


def _both_ways(machines: set[str]) -> list[Problem]:
    return [
        Problem(
            "warning",
            machine,
            "some clips lie in train/ or test/ and some do not; those that do not were split by a draw",
            "put all clips of the machine below train/ and test/, or none",
        )
        for machine in sorted(machines)
    ]
