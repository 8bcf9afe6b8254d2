"""Normal training clips held out of training: an ensemble needs normal scores that a detector could not learn."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError


def hold_out(clips: ClipSet, fraction: float) -> tuple[ClipSet, ClipSet]:
    """Split `clips` into (clips to train on, clips held out): `fraction` of each machine, id and domain, rounded.

    The choice depends only on the clips' names, so every trial of a dataset holds out the same clips. Each group keeps
    at least one clip to train on.
    """
    mask = held_out(clips.frame, fraction)
    return clips.take(~mask), clips.take(mask)


def held_out(frame: pd.DataFrame, fraction: float) -> npt.NDArray[np.bool_]:
    """A mask of the clips to hold out, for a table whose index counts from 0. It needs no audio."""
    if not 0 <= fraction <= 0.5:
        raise AsdRayError(f"the held-out share of normal clips must be between 0 and 0.5 but got {fraction}")
    mask = np.zeros(len(frame), bool)
    for _, group in frame.groupby(["machine", "id", "domain"]):
        ranked = sorted(group.index, key=lambda row: _rank(str(group.at[row, "clip"])))
        mask[ranked[: min(len(group) - 1, int(len(group) * fraction + 0.5))]] = True
    return mask


def _rank(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
