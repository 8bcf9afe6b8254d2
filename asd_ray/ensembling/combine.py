"""Combine the members' standardised scores of a clip into one score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError, unknown

Floats = npt.NDArray[np.float64]


def combine(
    scores: npt.ArrayLike,
    how: str,
    weights: Sequence[float] | None = None,
    *,
    names: Sequence[str] = (),
    clips: Sequence[str] = (),
) -> Floats:
    """`scores` [members, clips] -> one score per clip. A weight counts a member several times; max and min ignore it.

    `names` of members and names of `clips` are for the message about a missing score.
    """
    rows = np.asarray(scores, np.float64)
    if rows.ndim != 2 or not len(rows):
        raise AsdRayError(f"an ensemble combines [members, clips] of one member or more but got {rows.shape}")
    if not np.isfinite(rows).all():
        member, clip = np.argwhere(~np.isfinite(rows))[0]
        raise AsdRayError(
            f"member {names[member] if len(names) else member} has the score {rows[member, clip]} for clip "
            f"{clips[clip] if len(clips) else clip}; leave that candidate out, or score the clip again"
        )
    shares = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    if len(shares) != len(rows) or (shares < 0).any() or not shares.sum() > 0:
        raise AsdRayError("weights must be one number per member, 0 or more, and not all 0")
    if how not in WAYS:
        raise unknown("way to combine", how, WAYS)
    return WAYS[how](rows[shares > 0], shares[shares > 0] / shares.sum())


def _rank_mean(scores: Floats, shares: Floats) -> Floats:
    return shares @ np.stack([_ranks(row) for row in scores])


def _ranks(values: Floats) -> Floats:
    """Ranks among these clips, from 0 to 1; equal scores share the mean of their ranks."""
    levels, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(mean[at] / max(1, len(values) - 1))


def _median(scores: Floats, shares: Floats) -> Floats:
    """The weighted median: the mean of the two middle scores where the weights divide evenly."""
    order = np.argsort(scores, axis=0, kind="stable")
    upto = np.cumsum(shares[order], axis=0)
    ordered = np.take_along_axis(scores, order, axis=0)
    low = np.argmax(upto >= 0.5 - 1e-12, axis=0)
    high = np.argmax(upto > 0.5 + 1e-12, axis=0)
    columns = np.arange(scores.shape[1])
    return np.asarray((ordered[low, columns] + ordered[high, columns]) / 2)


WAYS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "mean": lambda scores, shares: np.asarray(shares @ scores),
    "max": lambda scores, _: np.asarray(scores.max(axis=0)),
    "min": lambda scores, _: np.asarray(scores.min(axis=0)),
    "median": _median,
    "rank_mean": _rank_mean,  # ranks among the clips that are scored together: transductive
}
TRANSDUCTIVE = ("rank_mean",)
