"""The classes of a classifier: the ids of its machines, or the attributes of a machine that has one id.

Clips that these do not tell apart get classes by clustering; see `pseudo_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from asd_ray.errors import AsdRayError


class Classes:
    """Names of classes, ``fan/00``, ``ToyCar/00/{"car": "A1"}`` or ``fan/00/~1`` (a cluster), in a fixed order.

    If a machine has several ids, each id is a class, as in all the papers. If it has one id (DCASE 2023 and later),
    each combination of attributes in the training clips is a class, as in the submissions to those challenges. Of a
    test clip only the id is used: every class of that id may be its class, or any class at all if the id was not in
    training.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @classmethod
    def from_clips(cls, frame: pd.DataFrame, at_least: int = 2) -> Classes:
        """The classes of training clips. Fewer than `at_least` raise an AsdRayError."""
        return cls.from_names(class_names(frame), at_least)

    @classmethod
    def from_names(cls, clips: Sequence[str], at_least: int = 2) -> Classes:
        """The classes of training clips, given by the name of each clip's class."""
        names = sorted(set(clips))
        if len(names) < at_least:
            raise AsdRayError(
                f"a classifier needs clips of at least {at_least} classes but got {len(names)} "
                f"({', '.join(names) or 'no clips'}); use a machine with several ids, clips with attributes, or a "
                "family that needs no classes"
            )
        return cls(names)

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, frame: pd.DataFrame) -> Tensor:
        """The class number of each training clip."""
        return self.numbers(class_names(frame))

    def numbers(self, clips: Sequence[str]) -> Tensor:
        """As `labels`, given the name of each clip's class."""
        numbers = {name: index for index, name in enumerate(self.names)}
        return torch.tensor([numbers[name] for name in clips], dtype=torch.long)

    def allowed(self, frame: pd.DataFrame) -> Tensor:
        """[clips, classes]: whether a clip may belong to a class, judged by its machine and id."""
        class_ids = ["/".join(name.split("/", 2)[:2]) for name in self.names]
        rows = torch.tensor(
            [[clip_id == class_id for class_id in class_ids] for clip_id in _machine_ids(frame)], dtype=torch.bool
        ).view(-1, len(class_ids))
        return rows | ~rows.any(1, keepdim=True)


def _machine_ids(frame: pd.DataFrame) -> list[str]:
    return (frame["machine"] + "/" + frame["id"]).to_list()


def class_names(frame: pd.DataFrame) -> list[str]:
    """The real class of each clip: its id, or its attributes if its machine has one id."""
    several_ids = frame.groupby("machine")["id"].transform("nunique") > 1
    names = frame["machine"] + "/" + frame["id"]
    has_attributes = (frame["attributes"] != "{}") & ~several_ids
    return names.where(~has_attributes, names + "/" + frame["attributes"]).to_list()


def finest_names(frame: pd.DataFrame) -> list[str]:
    """The id of each clip, and its attributes if the clips of that id differ in them."""
    names = frame["machine"] + "/" + frame["id"]
    differ = frame.groupby(["machine", "id"])["attributes"].transform("nunique") > 1
    has_attributes = (frame["attributes"] != "{}") & differ
    return names.where(~has_attributes, names + "/" + frame["attributes"]).to_list()
