"""How much the scores of candidates agree: ranks per id, and their correlation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


def ranks_per_id(scores: Floats, clips: pd.DataFrame) -> Floats:
    """Ranks among the clips of the same id, from 0 to 1; equal scores share the mean of their ranks.

    The only clip of an id has the middle rank, which says nothing: with any other, its id would count as a rank.
    """
    import scipy.stats  # slow to import

    ids = clips["id"].to_numpy().astype(str)
    ranks = np.full(scores.shape, 0.5)
    for id in np.unique(ids):
        own = ids == id
        if own.sum() > 1:
            ranks[:, own] = (scipy.stats.rankdata(scores[:, own], axis=1) - 1) / (own.sum() - 1)
    return ranks


def unit_rows(ranks: Floats) -> Floats:
    """Rows of mean 0 and length 1, so that a product of two is their Pearson correlation; constant rows become 0."""
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 1e-12, length, np.inf))
