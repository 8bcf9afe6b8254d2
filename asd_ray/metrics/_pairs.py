"""How many normal clips score below each anomaly. AUC and pAUC are computed from this one count.

Scores of many candidates are counted together. A row is sorted once, as integers whose low two bits hold the clip's
group. This is exact unless two clips of different groups agree in the upper 62 bits (a tie, or nearly one). Such
rows are detected by comparing neighbours, and counted again with their ties. Ranks need no sorting: they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ANOMALY = 3  # the group of anomalies; normals are group 0 or 1
_GROUP_BITS = np.int64(3)
_MAGNITUDE = np.int64(2**63 - 1)
_CHUNK = 1 << 16  # scores that are sorted together: half a megabyte, which fits the processor's cache


@dataclass(frozen=True)
class Pairs:
    """Counts of normals for each anomaly; the anomalies of a row are in no particular order."""

    below: Ints  # [candidates, groups of normals, anomalies]: normals of the group that score lower
    upto: Ints  # the same, with normals of equal score; the same array object as `below` if there is no tie
    normals: tuple[int, ...]  # how many normals each group has


def chunks(scores: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """The rows in pieces that fit the cache, as float64 without -0.0; ranks as they are: (first row, rows)."""
    rows = max(1, _CHUNK // max(1, scores.shape[1]))
    are_ranks = _are_ranks(scores)
    for first in range(0, len(scores), rows):
        if are_ranks:
            yield first, scores[first : first + rows]
            continue
        block = np.add(scores[first : first + rows], 0.0, dtype=np.float64)
        if not np.isfinite(block).all():
            row, clip = np.argwhere(~np.isfinite(block))[0]
            raise AsdRayError(
                f"scores must be finite, but candidate {first + row} has the score {block[row, clip]} for clip {clip}; "
                "leave that candidate out or fix its detector"
            )
        yield first, block


def matrix(scores: npt.ArrayLike, clips: int) -> npt.NDArray[np.generic]:
    """`scores` as [candidates, clips], checked against the number of clips."""
    values = np.asarray(scores)
    if values.ndim != 2 or values.shape[1] != clips:
        raise AsdRayError(f"scores must be candidates x {clips} clips but have the shape {values.shape}")
    if values.dtype.kind not in "biuf":
        raise AsdRayError(f"scores must be numbers but are of the type {values.dtype}")
    return values


def _are_ranks(scores: npt.NDArray[Any]) -> bool:
    """Whether these are unsigned integers not much larger than the number of clips, as `bootstrap` makes them."""
    return scores.dtype.kind == "u" and scores.size > 0 and int(scores.max()) < 4 * scores.shape[1]


def count(scores: npt.NDArray[Any], group: npt.NDArray[np.int8]) -> Pairs:
    """The counts of every row. `group` holds each clip's group; `scores` comes from `chunks`."""
    groups = int(group[group != ANOMALY].max()) + 1
    normals = tuple(int((group == number).sum()) for number in range(groups))
    if scores.dtype.kind == "u":
        return Pairs(*_count_ranks(scores, group, groups), normals)
    ordered = _sorted_groups(scores, group)
    below = _count_sorted(ordered & _GROUP_BITS, groups, int((group == ANOMALY).sum()))
    # The order of a normal and an anomaly that differ only in their group bits (3 ^ 0 or 3 ^ 1) is not reliable.
    differ = (ordered[:, 1:] ^ ordered[:, :-1]).view(np.uint64)
    differ -= np.uint64(2)  # these become 0 and 1, and all others larger, because unsigned numbers wrap around
    doubtful = np.flatnonzero((differ < 2).any(axis=1))
    if not len(doubtful):
        return Pairs(below, below, normals)
    upto = below.copy()
    below[doubtful], upto[doubtful] = _count_with_ties(scores[doubtful], group, groups)
    return Pairs(below, upto, normals)


def _count_ranks(ranks: npt.NDArray[Any], group: npt.NDArray[np.int8], groups: int) -> tuple[Ints, Ints]:
    """As `_count_with_ties`, of ranks: the normals of each rank are counted, and summed up to that of the anomaly."""
    rows, size = len(ranks), int(ranks.max()) + 2
    starts = size * np.arange(rows)[:, None]
    at = ranks[:, group == ANOMALY] + starts
    below, upto = (np.empty((rows, groups, at.shape[1]), np.int64) for _ in range(2))
    for number in range(groups):
        places = (ranks[:, group == number] + starts).ravel() + 1
        lower = np.bincount(places, minlength=rows * size).reshape(rows, size).cumsum(axis=1).ravel()
        below[:, number], upto[:, number] = lower[at], lower[at + 1]
    return below, upto


def _count_with_ties(scores: Floats, group: npt.NDArray[np.int8], groups: int) -> tuple[Ints, Ints]:
    """For each anomaly, the normals of each group that score lower, and those that score lower or equal."""
    order = np.argsort(scores, axis=1)
    ordered, of_group = np.take_along_axis(scores, order, axis=1), group[order]
    rows, clips = ordered.shape
    new, places = ordered[:, 1:] != ordered[:, :-1], np.arange(clips)
    first, last = np.zeros((rows, clips), np.int64), np.full((rows, clips), clips - 1)
    first[:, 1:] = np.maximum.accumulate(np.where(new, places[1:], 0), axis=1)  # of the scores equal to this one
    last[:, :-1] = np.minimum.accumulate(np.where(new, places[:-1], clips - 1)[:, ::-1], axis=1)[:, ::-1]
    anomalies = np.nonzero(of_group == ANOMALY)
    first, last = first[anomalies].reshape(rows, -1), last[anomalies].reshape(rows, -1)
    below, upto = (np.empty((rows, groups, first.shape[1]), np.int64) for _ in range(2))
    for number in range(groups):
        upto_place = np.zeros((rows, clips + 1), np.int64)
        np.cumsum(of_group == number, axis=1, out=upto_place[:, 1:])
        below[:, number] = np.take_along_axis(upto_place, first, axis=1)
        upto[:, number] = np.take_along_axis(upto_place, last + 1, axis=1)
    return below, upto


def _sorted_groups(scores: Floats, group: npt.NDArray[np.int8]) -> Ints:
    """Rows of integers in the order of the scores, each with its clip's group in the low two bits."""
    bits = scores.view(np.int64)
    keys: Ints = bits ^ ((bits >> 63) & _MAGNITUDE)  # IEEE floats order as integers once negative ones are flipped
    keys &= ~_GROUP_BITS
    keys |= group
    keys.sort(axis=1)
    return keys


def _count_sorted(ordered: Ints, groups: int, anomalies: int) -> Ints:
    """The number of normals before each anomaly, by group."""
    rows, clips = ordered.shape
    places = np.flatnonzero(ordered == ANOMALY).reshape(rows, anomalies)
    before: Ints = places - (clips * np.arange(rows)[:, None] + np.arange(anomalies))  # of all groups together
    if groups == 1:
        return before.reshape(rows, 1, anomalies)
    below = np.empty((rows, groups, anomalies), dtype=np.int64)
    for number in range(groups - 1):
        below[:, number] = np.cumsum(ordered == number, axis=1, dtype=np.int32).ravel()[places]
    below[:, -1] = before - below[:, :-1].sum(axis=1)
    return below
