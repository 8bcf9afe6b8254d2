"""DCASE 2021 Task 2: sections, and one test folder a domain (``source_test/``, ``target_test/``)."""

from __future__ import annotations

from asd_ray.clips._tree import Tree
from asd_ray.clips.layouts._base import Named
from asd_ray.clips.layouts._sections import claims, name_clips

FOLDERS = {"train": "train", "source_test": "test", "target_test": "test"}


class Dcase2021:
    name = "dcase2021"
    year = 2021
    expected = "dev_data/fan/source_test/section_00_source_test_normal_0000.wav"

    def claims(self, tree: Tree) -> int:
        return claims(tree, FOLDERS)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        return name_clips(tree, FOLDERS)
