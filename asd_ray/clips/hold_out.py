"""Clips that are set aside: normal ones held out of training, and labelled test clips that no choice sees.

An ensemble needs normal scores that a detector could not learn. And only clips that neither the search nor the ensemble
has seen show how good both are together.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.clips.bank import ClipSet
from asd_ray.clips.table import UNKNOWN
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


def set_unseen_apart(test: ClipSet, share: float) -> tuple[ClipSet, ClipSet]:
    """Split test clips into (clips that choices are made on, unseen clips): `share` of each id, domain and label.

    Only labelled clips are set apart, since others measure nothing. Each group keeps at least one clip to choose on.
    """
    if not share:
        return test, test.take(np.zeros(len(test), bool))
    frame = test.frame
    mask = np.zeros(len(test), bool)
    for (_, _, label), group in frame.groupby(["id", "domain", "label"]):
        if label != UNKNOWN:
            ranked = sorted(group.index, key=lambda row: _rank("unseen " + str(frame.at[row, "clip"])))
            mask[ranked[: min(len(group) - 1, int(len(group) * share + 0.5))]] = True
    return test.take(~mask), test.take(mask)


def _rank(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
