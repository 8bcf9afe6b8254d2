"""Training on the clips of some ids alone, by the parameter `train_ids`: "00,01,02", or "" for all training clips.

Jiang et al. trained some machines on the development clips alone; the additional training clips are of other ids. Only
`fit` learns from fewer clips. Clips of all ids are scored, so such a trial can be combined with others of its run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError
from asd_ray.families.space import TRAIN_IDS
from asd_ray.features._base import must_be


def check_train_ids(owner: object) -> None:
    """The parameter must be text: ids separated by commas."""
    value = getattr(owner, TRAIN_IDS)
    holds = isinstance(value, str) and (not value or all(id and id == id.strip() for id in value.split(",")))
    must_be(owner, TRAIN_IDS, holds, '"", or ids separated by commas without spaces, such as "00,01,02"')


def of_train_ids(frame: pd.DataFrame, train_ids: str) -> npt.NDArray[np.bool_]:
    """A mask of the clips to learn from."""
    return frame["id"].isin(train_ids.split(",")).to_numpy() if train_ids else np.ones(len(frame), bool)


def missing_ids(frame: pd.DataFrame, train_ids: str) -> str:
    """Which of the ids have no clip to learn from, for `suits`; "" if each has one."""
    present = sorted(set(frame["id"]))
    missing = [id for id in train_ids.split(",") if id not in present] if train_ids else []
    if not missing:
        return ""
    return (
        f"train_ids = {train_ids!r} names {', '.join(missing)}, but the training clips are of id {', '.join(present)}; "
        "name some of these"
    )


def clips_of_ids(train: ClipSet, train_ids: str) -> ClipSet:
    """The clips to learn from, for `fit`. AsdRayError if one of the ids has none."""
    if reason := missing_ids(train.frame, train_ids):
        raise AsdRayError(reason)
    return train.take(of_train_ids(train.frame, train_ids)) if train_ids else train
