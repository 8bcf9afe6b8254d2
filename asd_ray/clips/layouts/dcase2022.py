"""DCASE 2022 to 2026 Task 2: sections, one ``test/`` folder for both domains, attributes in names or a csv.

The years differ in machines, in how many sections a machine has, in 2024's revised training folders (``train_r2``)
and in 2025's ``supplemental/`` recordings, not in how a file is named; so they share this class.
"""

from __future__ import annotations

from dataclasses import dataclass

from asd_ray.clips._tree import Tree
from asd_ray.clips.layouts._base import Named
from asd_ray.clips.layouts._sections import claims, name_clips

FOLDERS = {"train": "train", "train_r2": "train", "test": "test", "supplemental": "supplemental"}


@dataclass(frozen=True)
class Dcase2022:
    year: int

    @property
    def name(self) -> str:
        return f"dcase{self.year}"

    @property
    def expected(self) -> str:
        return "dev_data/fan/train/section_00_source_train_normal_0000_vel_21.wav"

    def claims(self, tree: Tree) -> int:
        return claims(tree, FOLDERS)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        return name_clips(tree, FOLDERS)
