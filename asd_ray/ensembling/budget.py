"""A limit on the time of an ensemble, as choosing asks for it: which candidates may be added to some members."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.costs import Costs

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

ROUNDING = 1e-9  # sums of the same costs in another order differ by less


@dataclass(frozen=True)
class Budget:
    """The cost of each candidate by its parts. Members pay once for a trial that they share, and for a front end."""

    trials: Rows  # number of each candidate's trial
    own: Floats  # seconds of its detector
    uses: Mask  # [candidates, front ends]
    features: Floats  # seconds of each front end
    limit: float  # seconds; infinite where nothing was limited

    @classmethod
    def of(cls, trials: Sequence[str], costs: Costs | None, limit: float) -> Self:
        """The budget of candidates of these trials. Without `costs` nothing is limited."""
        numbers = {trial: number for number, trial in enumerate(dict.fromkeys(trials))}
        codes = np.array([numbers[trial] for trial in trials], np.intp)
        if costs is None:
            return cls(codes, np.zeros(len(trials)), np.zeros((len(trials), 0), bool), np.zeros(0), math.inf)
        names = sorted(costs.features)
        uses = np.array([[name in costs.uses[trial] for name in names] for trial in trials], bool)
        own = np.array([costs.detectors[trial] for trial in trials])
        features = np.array([costs.features[name] for name in names])
        return cls(codes, own, uses.reshape(len(trials), len(names)), features, limit)

    def take(self, rows: npt.ArrayLike) -> Budget:
        """The budget of some of the candidates."""
        at = np.asarray(rows, np.intp)
        return Budget(self.trials[at], self.own[at], self.uses[at], self.features, self.limit)

    def cost(self, members: Collection[int]) -> float:
        """Seconds of these members together."""
        rows = np.array(sorted(members), np.intp)
        first = np.unique(self.trials[rows], return_index=True)[1]
        return float(self.own[rows[first]].sum() + self.uses[rows].any(axis=0) @ self.features)

    def added(self, members: Collection[int]) -> Floats:
        """Seconds that each candidate adds to these members."""
        rows = np.array(sorted(members), np.intp)
        missing = self.uses & ~self.uses[rows].any(axis=0)
        own = np.where(np.isin(self.trials, self.trials[rows]), 0.0, self.own)
        return np.asarray(own + missing @ self.features)

    def allows(self, seconds: float | Floats) -> Mask:
        """Whether costs are within the limit."""
        return np.asarray(seconds <= self.limit * (1 + ROUNDING))

    def room(self, members: Collection[int] = (), rest: Sequence[Rows] = ()) -> Mask:
        """The candidates that may be added to these members.

        One of each group of `rest` is added later, so there must be time left for the cheapest of each.
        """
        if math.isinf(self.limit):
            return np.ones(len(self.own), bool)
        cost, added = self.cost(members), self.added(members)
        room = self.allows(cost + added)
        if rest:
            # with the candidate as a member the rest costs this at most, and less where it shares parts with the rest
            most = sum(float(added[group].min()) for group in rest)
            unsure = room & ~self.allows(cost + added + most)
            for trial in np.unique(self.trials[unsure]):
                same = np.flatnonzero(unsure & (self.trials == trial))
                later = self.added([*members, int(same[0])])
                room[same] = self.allows(cost + added[same] + sum(float(later[group].min()) for group in rest))
        return room

    def chosen(self, order: Sequence[int], most: int | None = None) -> list[int]:
        """The first of `order` that fit together, `most` at most; those for which there is no time are skipped."""
        members: list[int] = []
        room = self.room()
        for row in order:
            if len(members) == most:
                break
            if room[row]:
                members.append(row)
                room = self.room(members)
        return members
