"""The interface of a layout, and the functions that naming schemes share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.table import NORMAL, TEST, TRAIN, Clip, Problem, attributes_text


@dataclass
class Named:
    """The result of a layout: clips, files that became no clip, and notes on what it decided."""

    clips: list[Clip] = field(default_factory=list)
    misnamed: list[File] = field(default_factory=list)
    misplaced: dict[tuple[str, str], list[File]] = field(default_factory=dict)  # (rule, cure) -> files left out by it
    problems: list[Problem] = field(default_factory=list)
    split_seed: int | None = None

    def leave_out(self, file: File, reason: tuple[str, str] | None) -> None:
        """Record a file that becomes no clip. `reason` is (rule, cure); None if its name does not follow the scheme."""
        if reason is None:
            self.misnamed.append(file)
        else:
            self.misplaced.setdefault(reason, []).append(file)


# Detectors learn from normal clips only, so such clips can only be meant for testing.
ANOMALY_IN_TRAINING = (
    "left out: anomalous clips in a training folder; training takes normal clips only",
    "move them to the test folder, or remove them",
)


class Layout(Protocol):
    """One naming scheme. `claims` is called to detect the layout, `name_clips` after it is chosen."""

    @property
    def name(self) -> str: ...

    @property
    def year(self) -> int | None: ...

    @property
    def expected(self) -> str:
        """An example path, for messages."""
        ...

    def claims(self, tree: Tree) -> int:
        """How many audio files have a name and a folder of this scheme."""
        ...

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named: ...


def split_home(file: File, root_name: str, folders: Sequence[str]) -> tuple[str, str] | None:
    """(machine, split folder) of ``…/<machine>/<split folder>/x.wav``; the root itself may be the machine's folder.

    The folders above them (dev_data, eval_data, raw, the names of unpacked archives) are ignored.
    """
    above = file.folders
    if not above or above[-1] not in folders:
        return None
    return (above[-2] if len(above) > 1 else root_name), above[-1]


def pairs(text: str) -> dict[str, str]:
    """``car_B1_spd_31V_mic_1`` -> {car: B1, spd: 31V, mic: 1}; ``noAttribute`` and "" give nothing.

    2021 also has endings that are no pairs, such as ``strength_1_ambient``. They are kept as one attribute, ``tail``.
    """
    words = [word for word in text.split("_") if word]
    if len(words) % 2 == 0:
        return dict(zip(words[::2], words[1::2], strict=True))
    return {} if len(words) == 1 else {"tail": "_".join(words)}


def official(file: File) -> str:
    """The clip's official name: DCASE's lists write ``.wav`` even if the file on disk is flac."""
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
    """The row of one file in the clip table."""
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
    """The split of each normal clip of one id, for datasets without a split of their own.

    As many normal clips are tested as there are anomalies (MIMII's paper), but at most half of them; without anomalies,
    all are used for training. They are chosen by a hash of seed and name, so the order of files does not matter, and
    other ids do not either.
    """
    tested = min(anomalies, len(normals) // 2)
    ranked = sorted(normals, key=lambda name: hashlib.blake2b(f"{seed}/{name}".encode()).digest())
    test = set(ranked[:tested])
    return {name: TEST if name in test else TRAIN for name in normals}


Member = tuple[File, str, str, Mapping[str, str]]  # file, clip name, label, attributes


def drawn_clips(groups: Mapping[tuple[str, str], Sequence[Member]], seed: int) -> list[Clip]:
    """The clips of (machine, id) groups, with a split drawn by `draw_split`."""
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
        "draw another with --split-seed N; --table FILE stores it in a file, and the data fingerprint depends on it",
    )
