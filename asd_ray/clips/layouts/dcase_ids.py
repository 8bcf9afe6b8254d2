"""DCASE editions with ids (2020): ``<machine>/train/normal_id_00_00000000.wav``, all ids of a machine in one folder."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asd_ray.clips._tree import File, Tree
from asd_ray.clips.layouts._base import Named, clip, official, split_home
from asd_ray.clips.table import TRAIN, UNKNOWN, Clip
from asd_ray.metrics.editions import Edition

# Development and additional training clips have a label in the name; test clips of the evaluation set have none.
_NAME = re.compile(r"(?:(normal|anomaly)_)?id_(\d{2})_(\d{8})")


@dataclass(frozen=True)
class DcaseIds:
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
        return sum(self._clip(file, tree.root.name) is not None for file in tree.audio)

    def name_clips(self, tree: Tree, *, split_seed: int) -> Named:
        named = Named()
        for file in tree.audio:
            row = self._clip(file, tree.root.name)
            if row is None:
                named.misnamed.append(file)
            else:
                named.clips.append(row)
        return named

    def _clip(self, file: File, root_name: str) -> Clip | None:
        home, match = split_home(file, root_name, tuple(self.edition.folders)), _NAME.fullmatch(file.stem)
        if home is None or match is None:
            return None
        machine, split = home[0], self.edition.folders[home[1]]
        label, id, _ = match.groups()
        if split == TRAIN and label is None:
            return None
        return clip(file, name=official(file), machine=machine, id=id, split=split, label=label or UNKNOWN)
