"""Batches with a chosen share of clips of the target domain, of which a training set often has ten in a thousand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class BalancedDraws:
    """Positions of clips for batches: each is of the target domain with probability `share`.

    Inside a domain the clips are taken in a random order, and again in another one when all were taken, so no clip is
    drawn twice as often as another of its domain. Calls take the place of the positions that `run_epochs` gives.
    """

    def __init__(self, is_target: Tensor, share: float, rng: np.random.Generator) -> None:
        """`is_target` has one entry per clip. Both domains must have clips; see `balanced_draws`."""
        self.share, self.rng = share, rng
        flags = is_target.numpy()
        self._domains = [_Shuffled(np.flatnonzero(flags == target), rng) for target in (False, True)]

    def __call__(self, count: int) -> Tensor:
        """The positions of `count` clips."""
        target = self.rng.random(count) < self.share
        positions = np.empty(count, np.int64)
        for domain, chosen in zip(self._domains, (~target, target), strict=True):
            positions[chosen] = domain.take(int(chosen.sum()))
        return torch.from_numpy(positions)


def balanced_draws(is_target: Tensor, share: float, rng: np.random.Generator) -> BalancedDraws | None:
    """None if nothing is to be balanced: `share` is 0, or all clips are of one domain."""
    if share == 0 or is_target.all() or not is_target.any():
        return None
    return BalancedDraws(is_target, share, rng)


class _Shuffled:
    """Endless: all positions in a random order, then all in another one."""

    def __init__(self, positions: npt.NDArray[np.intp], rng: np.random.Generator) -> None:
        self.positions, self.rng = positions, rng
        self.rest = positions[:0]

    def take(self, count: int) -> npt.NDArray[np.intp]:
        while len(self.rest) < count:
            self.rest = np.concatenate([self.rest, self.rng.permutation(self.positions)])
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken
