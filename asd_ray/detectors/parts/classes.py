"""What a classifier tells apart: the ids of the machines it hears, or the attributes of a machine of one id."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from asd_ray.errors import AsdRayError


class Classes:
    """Names of classes, ``fan/00`` or ``ToyCar/00/{"car": "A1"}``, in a fixed order.

    A machine of several ids gives a class an id, as all the papers do; a machine of one id (DCASE 2023 on) gives a
    class each of its training clips' attributes, as its participants do. Of a test clip no more than its id is
    used: any class of that id may be its own, and every class where the id was never heard.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @classmethod
    def of(cls, frame: pd.DataFrame, least: int = 2) -> Classes:
        """The classes of training clips; an error where there are fewer than `least`."""
        names = sorted(set(_named(frame)))
        if len(names) < least:
            raise AsdRayError(
                f"a classifier needs clips of {least} classes or more but those of {', '.join(names) or 'nothing'} are "
                "one: give it a machine of several ids, or clips with attributes, or a family that needs no classes"
            )
        return cls(names)

    @staticmethod
    def lacking(frame: pd.DataFrame, least: int = 2) -> str:
        """Why `of` would refuse these training clips, for `suits` of a detector; "" if it would not."""
        if len(set(_named(frame))) >= least:
            return ""
        return (
            "it learns to tell classes of normal clips apart, and the training clips are of one id and have no "
            "attributes that differ; record several ids, name attributes, or search several machines --jointly"
        )

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, frame: pd.DataFrame) -> Tensor:
        """The class of each training clip."""
        place = {name: index for index, name in enumerate(self.names)}
        return torch.tensor([place[name] for name in _named(frame)], dtype=torch.long)

    def allowed(self, frame: pd.DataFrame) -> Tensor:
        """[clips, classes], whether a class may be a clip's own by its machine and id."""
        ids = ["/".join(name.split("/", 2)[:2]) for name in self.names]
        rows = torch.tensor([[own == id for id in ids] for own in _ids(frame)], dtype=torch.bool).view(-1, len(ids))
        return rows | ~rows.any(1, keepdim=True)


def _ids(frame: pd.DataFrame) -> list[str]:
    return (frame["machine"] + "/" + frame["id"]).to_list()


def _named(frame: pd.DataFrame) -> list[str]:
    several = frame.groupby("machine")["id"].transform("nunique") > 1
    names = frame["machine"] + "/" + frame["id"]
    told = (frame["attributes"] != "{}") & ~several
    return names.where(~told, names + "/" + frame["attributes"]).to_list()
