"""The classes of a classifier: the ids of its machines, or the attributes of a machine that has one id."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from asd_ray.errors import AsdRayError


class Classes:
    """Names of classes, ``fan/00`` or ``ToyCar/00/{"car": "A1"}``, in a fixed order.

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
        names = sorted(set(_class_names(frame)))
        if len(names) < at_least:
            raise AsdRayError(
                f"a classifier needs clips of at least {at_least} classes but got {len(names)} "
                f"({', '.join(names) or 'no clips'}); use a machine with several ids, clips with attributes, or a "
                "family that needs no classes"
            )
        return cls(names)

    @staticmethod
    def why_too_few(frame: pd.DataFrame, at_least: int = 2) -> str:
        """Why `from_clips` would fail for these training clips, for a detector's `suits`; "" if it would not."""
        if len(set(_class_names(frame))) >= at_least:
            return ""
        return (
            "it learns to tell classes of normal clips apart, but all training clips have the same id and the same "
            "attributes; record several ids, add attributes, or search several machines with --jointly"
        )

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, frame: pd.DataFrame) -> Tensor:
        """The class number of each training clip."""
        numbers = {name: index for index, name in enumerate(self.names)}
        return torch.tensor([numbers[name] for name in _class_names(frame)], dtype=torch.long)

    def allowed(self, frame: pd.DataFrame) -> Tensor:
        """[clips, classes]: whether a clip may belong to a class, judged by its machine and id."""
        class_ids = ["/".join(name.split("/", 2)[:2]) for name in self.names]
        rows = torch.tensor(
            [[clip_id == class_id for class_id in class_ids] for clip_id in _machine_ids(frame)], dtype=torch.bool
        ).view(-1, len(class_ids))
        return rows | ~rows.any(1, keepdim=True)


def _machine_ids(frame: pd.DataFrame) -> list[str]:
    return (frame["machine"] + "/" + frame["id"]).to_list()


def _class_names(frame: pd.DataFrame) -> list[str]:
    several_ids = frame.groupby("machine")["id"].transform("nunique") > 1
    names = frame["machine"] + "/" + frame["id"]
    has_attributes = (frame["attributes"] != "{}") & ~several_ids
    return names.where(~has_attributes, names + "/" + frame["attributes"]).to_list()
