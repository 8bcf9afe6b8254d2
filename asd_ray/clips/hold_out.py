"""Normal training clips kept back from training: on them an ensemble sees scores that a detector could not learn."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError


def hold_out(clips: ClipSet, fraction: float) -> tuple[ClipSet, ClipSet]:
    """(clips to train on, clips held out): `fraction` of each machine, id and domain, rounded to whole clips.

    Which clips depends on their names alone, so every trial of a dataset holds out the same; each group keeps at
    least one clip to train on.
    """
    held = held_out(clips.frame, fraction)
    return clips.take(~held), clips.take(held)


def held_out(frame: pd.DataFrame, fraction: float) -> npt.NDArray[np.bool_]:
    """Whether each clip of a table, whose index counts from 0, is held out; no sound is needed for that."""
    if not 0 <= fraction <= 0.5:
        raise AsdRayError(f"the held-out share of normal clips must be between 0 and 0.5 but got {fraction}")
    held = np.zeros(len(frame), bool)
    for _, group in frame.groupby(["machine", "id", "domain"]):
        order = sorted(group.index, key=lambda row: _rank(str(group.at[row, "clip"])))
        held[order[: min(len(group) - 1, int(len(group) * fraction + 0.5))]] = True
    return held


def _rank(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
