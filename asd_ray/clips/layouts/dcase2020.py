"""DCASE 2020 Task 2: ``<machine>/train/normal_id_00_00000000.wav``, ids of one machine type side by side."""

from __future__ import annotations

import re

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import Named, clip, official, split_home
from asd_ray.clips.table import TEST, TRAIN, UNKNOWN, Clip

# dev and additional training have a label in the name; the evaluation set's test clips have none.
_NAME = re.compile(r"(?:(normal|anomaly)_)?id_(\d{2})_(\d{8})")


class Dcase2020:
    name = "dcase2020"
    year = 2020
    expected = "dev_data/fan/train/normal_id_00_00000000.wav"

    def claims(self, tree: Tree) -> int:
        return sum(self._clip(file, tree.root.name) is not None for file in tree.audio)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        named = Named()
        for file in tree.audio:
            made = self._clip(file, tree.root.name)
            if made is None:
                named.misnamed.append(file)
            else:
                named.clips.append(made)
        return named

    def _clip(self, file: File, root_name: str) -> Clip | None:
        home, match = split_home(file, root_name, (TRAIN, TEST)), _NAME.fullmatch(file.stem)
        if home is None or match is None:
            return None
        machine, split = home
        label, id, _ = match.groups()
        if split == TRAIN and label is None:
            return None
        return clip(file, name=official(file), machine=machine, id=id, split=split, label=label or UNKNOWN)
