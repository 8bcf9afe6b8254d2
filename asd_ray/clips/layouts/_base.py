"""What a layout is, and the pieces that naming schemes share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.table import NORMAL, TEST, TRAIN, Clip, Problem, attributes_text


@dataclass
class Named:
    """What a layout made of a tree: clips, files whose names it does not know, and what it decided."""

    clips: list[Clip] = field(default_factory=list)
    misnamed: list[File] = field(default_factory=list)
    misplaced: dict[tuple[str, str], list[File]] = field(default_factory=dict)  # (rule, cure) -> files left out by it
    problems: list[Problem] = field(default_factory=list)
    split_seed: int | None = None

    def leave_out(self, file: File, reason: tuple[str, str] | None) -> None:
        """A file that becomes no clip; `reason` is (rule, cure), None where its name tells nothing."""
        if reason is None:
            self.misnamed.append(file)
        else:
            self.misplaced.setdefault(reason, []).append(file)


# Detectors learn from normal clips alone, so these can only be meant for the test.
ANOMALY_IN_TRAINING = (
    "left out: anomalous clips in a training folder; training takes normal clips alone",
    "move them to the test folder, or remove them",
)


class Layout(Protocol):
    """One naming scheme. `claims` is asked in detection, `name_clips` once the layout is chosen."""

    @property
    def name(self) -> str: ...

    @property
    def year(self) -> int | None: ...

    @property
    def expected(self) -> str:
        """An example path, for messages."""
        ...

    def claims(self, tree: Tree) -> int:
        """How many audio files have a name and a place of this scheme."""
        ...

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named: ...


def split_home(file: File, root_name: str, folders: Sequence[str]) -> tuple[str, str] | None:
    """(machine, split folder) of ``…/<machine>/<split folder>/x.wav``; the root itself may be the machine's folder.

    Whatever lies above (dev_data, eval_data, raw, the names of unpacked archives) does not matter.
    """
    above = file.folders
    if not above or above[-1] not in folders:
        return None
    return (above[-2] if len(above) > 1 else root_name), above[-1]


def pairs(text: str) -> dict[str, str]:
    """``car_B1_spd_31V_mic_1`` -> {car: B1, spd: 31V, mic: 1}; ``noAttribute`` and "" give nothing.

    2021 also has tails that are no pairs, such as ``strength_1_ambient``: they are kept whole.
    """
    words = [word for word in text.split("_") if word]
    if len(words) % 2 == 0:
        return dict(zip(words[::2], words[1::2], strict=True))
    return {} if len(words) == 1 else {"tail": "_".join(words)}


def official(file: File) -> str:
    """The clip's official name: DCASE's lists say ``.wav`` whatever the container on this disk is."""
    return f"{file.stem}.wav"


def clip(
    file: File,
    *,
    name: str,
    machine: str,
    id: str,
    split: str,
    label: str,
    domain: str = "",
    attributes: Mapping[str, str] | None = None,
) -> Clip:
    """The row of one file."""
    return Clip(
        clip=name,
        machine=machine,
        id=id,
        domain=domain,
        split=split,
        label=label,
        attributes=attributes_text(attributes or {}),
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
    )


def draw_split(normals: Sequence[str], anomalies: int, seed: int) -> dict[str, str]:
    """Which normal clips of one id are held back as test normals where the dataset has no split of its own.

    As many test normals as anomalies (MIMII's paper), but never more than half of the normals; without anomalies
    all train. Chosen by a hash of seed and name, so that neither the order of a folder nor other ids matter.
    """
    wanted = min(anomalies, len(normals) // 2)
    ranked = sorted(normals, key=lambda name: hashlib.blake2b(f"{seed}/{name}".encode()).digest())
    held_back = set(ranked[:wanted])
    return {name: TEST if name in held_back else TRAIN for name in normals}


Member = tuple[File, str, str, Mapping[str, str]]  # file, clip name, label, attributes


def drawn_clips(groups: Mapping[tuple[str, str], Sequence[Member]], seed: int) -> list[Clip]:
    """The clips of (machine, id) groups whose split we draw ourselves."""
    clips: list[Clip] = []
    for (machine, id), members in groups.items():
        normals = [name for _, name, label, _ in members if label == NORMAL]
        split = draw_split(normals, len(members) - len(normals), seed)
        clips += [
            clip(f, name=n, machine=machine, id=id, split=split.get(n, TEST), label=label, attributes=attributes)
            for f, n, label, attributes in members
        ]
    return clips


def drawn_note(seed: int) -> Problem:
    return Problem(
        "note",
        "split",
        f"the dataset has no test split, so one was drawn (seed {seed}): as many test normals as anomalies of each id",
        "draw another with --split-seed N; --table FILE writes it down, and the data fingerprint covers it",
    )
