"""DCASE editions with sections (2021 and later): ``section_00_source_train_normal_0000_<attributes>.wav``.

The years differ in their folders: 2021 has one test folder per domain (``source_test/``, ``target_test/``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import ANOMALY_IN_TRAINING, Named, clip, official, pairs, split_home
from asd_ray.clips.table import CLEAN, KIND, NORMAL, SUPPLEMENTAL, TEST, TRAIN, UNKNOWN, Clip, Problem
from asd_ray.metrics.editions import Edition

# Numbers start at 0000 or 0001; the tail may be attributes, `noAttribute`, or a bare `_` (2025, 2026).
LABELLED = re.compile(r"section_(\d{2})_(source|target)_(train|test)_(normal|anomaly)_(\d+)(?:_(.*))?")
# Evaluation clips: domain known in 2021, hidden later; the README of 2022 writes `_test_`, its lists do not.
_HIDDEN = re.compile(r"section_(\d{2})_(?:(source|target)_)?(?:test_)?(\d+)_?")
# 2025: clean machine sound, or noise without the machine. Only the `machine` form is documented in full.
_SUPPLEMENTAL = re.compile(r"section_(\d{2})_(?:.*_)?(machine|noise)(?:_[^\d_][^_]*)*_(\d+)(?:_(.*))?")


@dataclass(frozen=True)
class DcaseSections:
    edition: Edition

    @property
    def name(self) -> str:
        return f"dcase{self.edition.year}"

    @property
    def year(self) -> int:
        return self.edition.year

    @property
    def expected(self) -> str:
        return self.edition.example

    def claims(self, tree: Tree) -> int:
        """Folder and first word are enough to choose a layout; wrong names are reported later, as problems."""
        folders = tuple(self.edition.folders)
        return sum(
            split_home(file, tree.root.name, folders) is not None and file.name.startswith("section_")
            for file in tree.audio
        )

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        named = Named()
        for file in tree.audio:
            row = section_clip(file, tree.root.name, self.edition.folders)
            if row is None:
                named.leave_out(file, _misplaced(file, tree.root.name, self.edition.folders))
            else:
                named.clips.append(row)
        _prefer_revised(named)
        return named


def section_clip(file: File, root_name: str, folders: Mapping[str, str]) -> Clip | None:
    """The clip of a file, from its name and folder; None if they do not follow the scheme."""
    home = split_home(file, root_name, tuple(folders))
    if home is None:
        return None
    machine, split = home[0], folders[home[1]]
    if split == SUPPLEMENTAL:
        match = _SUPPLEMENTAL.fullmatch(file.stem)
        if match is None:
            return None
        id, kind, _, tail = match.groups()
        label = NORMAL if kind == CLEAN else UNKNOWN  # noise contains no machine at all
        attributes = {KIND: kind, **pairs(tail or "")}
        return clip(file, name=official(file), machine=machine, id=id, split=split, label=label, attributes=attributes)
    match, name = LABELLED.fullmatch(file.stem), official(file)
    if match is not None:
        id, domain, named_split, label, _, tail = match.groups()
        if named_split != split or (split == TRAIN and label != NORMAL):
            return None
    else:
        match = _HIDDEN.fullmatch(file.stem)
        if match is None or split != TEST:
            return None
        id, domain, _ = match.groups()
        domain, label, tail = domain or "", UNKNOWN, ""
        name = hidden_name(name)
    if home[1].endswith("_test") and domain != home[1].removesuffix("_test"):
        return None  # 2021: a target clip in source_test/
    return clip(
        file,
        name=name,
        machine=machine,
        id=id,
        domain=domain,
        split=split,
        label=label,
        attributes=pairs(tail or ""),
    )


def _misplaced(file: File, root_name: str, folders: Mapping[str, str]) -> tuple[str, str] | None:
    """(rule, cure) of a file whose name is correct but does not fit its folder; None for any other file."""
    home, match = split_home(file, root_name, tuple(folders)), LABELLED.fullmatch(file.stem)
    if home is None or match is None or folders[home[1]] == SUPPLEMENTAL:
        return None
    _, domain, named_split, label, _, _ = match.groups()
    if (named_split, label, folders[home[1]]) == ("train", "anomaly", "train"):
        return ANOMALY_IN_TRAINING
    word = named_split if named_split != folders[home[1]] else domain
    return f"left out: the name says {word}, the folder is {home[1]}/", "move it to its own folder, or rename it"


def hidden_name(name: str) -> str:
    """The name that lists and submissions use for a clip with hidden label; other names stay as they are.

    ``section_03_test_0000.wav`` and ``section_03_0000_.wav`` become ``section_03_0000.wav``. In 2021 the domain is
    kept: ``section_03_source_test_0000.wav``.
    """
    match = _HIDDEN.fullmatch(name.removesuffix(".wav"))
    if match is None:
        return name
    id, domain, number = match.groups()
    return f"section_{id}_{domain}_test_{number}.wav" if domain else f"section_{id}_{number}.wav"


def _prefer_revised(named: Named) -> None:
    """2024: 3DPrinter and RoboticArm have a second, corrected ``train_r2``. If both folders exist, it is used."""
    revised = {c.machine for c in named.clips if "train_r2" in c.path.split("/")[:-1]}
    old = [c for c in named.clips if c.machine in revised and "train" in c.path.split("/")[-2:-1]]
    for machine in sorted({c.machine for c in old}):
        count = sum(c.machine == machine for c in old)
        named.problems.append(
            Problem("note", f"{machine}/train", f"{count} clips left out: train_r2/ is its revision", "nothing to do")
        )
    left_out = set(old)
    named.clips = [c for c in named.clips if c not in left_out]
