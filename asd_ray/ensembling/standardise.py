"""Scores of different detectors in one unit: deviations above the detector's own scores of normal clips.

Giri et al. 2020 take mean and deviation of each model's scores over the training clips of the machine id. Added here:
a group of fewer than `LEAST` clips takes the statistics of all of the machine's clips. A deviation is at least `floor`
times the candidate's median deviation over groups, because a classifier's scores of what it learned from are nearly
constant. A deviation within the rounding of float32 counts as 0, and where the deviation is 0 the unit is 1.

    z       minus the mean, in standard deviations
    robust  minus the median, in 1.4826 median absolute deviations
    rank    the share of normal clips that score lower, ties counted half: within [0, 1]
    open_rank  the rank, plus the logarithm of 1 + the distance in deviations for a score above all normal ones, and
            minus it for one below all: few normal clips rank every strong anomaly 1, and this keeps their order
    none    unchanged
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError, unknown

Floats = npt.NDArray[np.float64]
HOW = ("z", "robust", "rank", "open_rank", "none")
RANKS = ("rank", "open_rank")  # the ways that keep the normal scores
PER = ("id", "id_domain", "machine")
LEAST = 5  # clips that a group needs for its own statistics
ROUNDING = 1e-6  # share of the largest score: float32, in which scores are stored, has 7 digits


@dataclass(frozen=True)
class Standardiser:
    """The method that brings scores into one unit."""

    how: str = "z"
    per: str = "id"
    floor: float = 0.1

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise unknown("way to standardise", self.how, HOW)
        if self.per not in PER:
            raise unknown("group to standardise by", self.per, PER)
        if not 0 <= self.floor <= 1:
            raise AsdRayError(f"floor of a standardiser must be in [0, 1] but got {self.floor}")

    def learn(self, scores: npt.ArrayLike, clips: pd.DataFrame) -> Statistics:
        """Compute the statistics of `scores` [candidates, clips]; `clips` is a table with the columns id and domain."""
        normal = np.asarray(scores, np.float64)
        if not normal.shape[1]:
            raise AsdRayError("scores cannot be standardised by no clips; give normal clips")
        groups = self.groups(clips)
        names = [name for name, count in zip(*np.unique(groups, return_counts=True), strict=True) if count >= LEAST]
        parts = {str(name): normal[:, groups == name] for name in names} | {"": normal}
        centre = np.stack([self._centre(part) for part in parts.values()], axis=1)
        scale = np.stack([self._scale(part) for part in parts.values()], axis=1)
        scale[scale < ROUNDING * np.abs(normal).max(axis=1, keepdims=True)] = 0.0
        usual = np.median(scale[:, :-1] if len(parts) > 1 else scale, axis=1, keepdims=True)
        scale = np.maximum(scale, self.floor * usual)
        reference = {name: np.sort(part, axis=1) for name, part in parts.items()} if self.how in RANKS else {}
        return Statistics(self, tuple(parts), centre, np.where(scale > 0, scale, 1.0), reference)

    def groups(self, clips: pd.DataFrame) -> npt.NDArray[np.str_]:
        """The group of each clip."""
        if self.per == "machine":
            return np.full(len(clips), "", dtype=str)
        ids = clips["id"].to_numpy().astype(str)
        if self.per == "id":
            return ids
        return np.char.add(np.char.add(ids, "/"), clips["domain"].to_numpy().astype(str))

    def _centre(self, scores: Floats) -> Floats:
        return np.asarray(np.median(scores, axis=1) if self.how == "robust" else scores.mean(axis=1))

    def _scale(self, scores: Floats) -> Floats:
        if self.how == "robust":
            return np.asarray(1.4826 * np.median(np.abs(scores - np.median(scores, axis=1, keepdims=True)), axis=1))
        return np.asarray(scores.std(axis=1))


@dataclass(frozen=True)
class Statistics:
    """Centre and scale of each candidate by group. The last group, "", is the whole machine."""

    standardiser: Standardiser
    groups: tuple[str, ...]
    centre: Floats  # [candidates, groups]
    scale: Floats
    reference: dict[str, Floats]  # where how is one of `RANKS`: group -> ascending normal scores [candidates, clips]

    def take(self, rows: list[int]) -> Statistics:
        reference = {name: normal[rows] for name, normal in self.reference.items()}
        return Statistics(self.standardiser, self.groups, self.centre[rows], self.scale[rows], reference)

    def __call__(self, scores: npt.ArrayLike, clips: pd.DataFrame) -> Floats:
        """Standardised scores, [candidates, clips]. A group that was not learned is treated as the whole machine."""
        raw = np.asarray(scores, np.float64)
        if self.standardiser.how == "none":
            return raw
        place_of = {name: place for place, name in enumerate(self.groups)}
        at = np.array([place_of.get(str(name), len(place_of) - 1) for name in self.standardiser.groups(clips)], np.intp)
        if self.standardiser.how not in RANKS:
            return np.asarray((raw - self.centre[:, at]) / self.scale[:, at])
        shares = np.empty_like(raw)
        for place in np.unique(at):
            here = np.flatnonzero(at == place)
            normals = self.reference[self.groups[place]]
            for row, normal in enumerate(normals):
                values = raw[row, here]
                both = normal.searchsorted(values, "left") + normal.searchsorted(values, "right")
                shares[row, here] = both / (2 * len(normal))
            if self.standardiser.how == "open_rank":
                beyond = raw[:, here] - np.clip(raw[:, here], normals[:, :1], normals[:, -1:])
                beyond /= self.scale[:, [place]]
                shares[:, here] += np.sign(beyond) * np.log1p(np.abs(beyond))
        return shares
