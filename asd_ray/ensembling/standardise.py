"""Scores of different detectors in one unit: how many deviations above its own scores of normal clips.

Giri et al. 2020 take mean and deviation of each model's scores over the training clips of the machine id. Chosen here:
a group of fewer than `LEAST` clips takes the statistics of all of the machine's clips; a deviation counts as no less
than `floor` times the candidate's median deviation over groups, since a classifier's scores of what it learned from
are nearly constant. One that is no more than the rounding of float32 is none, and of no deviation the unit is 1.

    z       less the mean, in standard deviations
    robust  less the median, in 1.4826 median absolute deviations
    rank    the share of normal clips that score lower, ties counted half: within [0, 1]
    none    as it is
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError, unknown

Floats = npt.NDArray[np.float64]
HOW = ("z", "robust", "rank", "none")
PER = ("id", "id_domain", "machine")
LEAST = 5  # clips whose mean and deviation are worth more than those of the whole machine
ROUNDING = 1e-6  # of the largest score: float32, in which scores are stored, has 7 digits


@dataclass(frozen=True)
class Standardiser:
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
        """`scores` [candidates, clips] of normal `clips`, with the columns id and domain."""
        given = np.asarray(scores, np.float64)
        if not given.shape[1]:
            raise AsdRayError("scores cannot be standardised by no clips; give normal clips")
        groups = self.groups(clips)
        names = [name for name, count in zip(*np.unique(groups, return_counts=True), strict=True) if count >= LEAST]
        parts = {str(name): given[:, groups == name] for name in names} | {"": given}
        centre = np.stack([self._centre(each) for each in parts.values()], axis=1)
        scale = np.stack([self._scale(each) for each in parts.values()], axis=1)
        scale[scale < ROUNDING * np.abs(given).max(axis=1, keepdims=True)] = 0.0
        usual = np.median(scale[:, :-1] if len(parts) > 1 else scale, axis=1, keepdims=True)
        scale = np.maximum(scale, self.floor * usual)
        reference = {name: np.sort(each, axis=1) for name, each in parts.items()} if self.how == "rank" else {}
        return Statistics(self, tuple(parts), centre, np.where(scale > 0, scale, 1.0), reference)

    def groups(self, clips: pd.DataFrame) -> npt.NDArray[np.str_]:
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
    """What a standardiser learned: of each candidate, by group; the last group, "", is the whole machine."""

    standardiser: Standardiser
    groups: tuple[str, ...]
    centre: Floats  # [candidates, groups]
    scale: Floats
    reference: dict[str, Floats]  # of "rank": the normal scores of each group in order

    def take(self, rows: list[int]) -> Statistics:
        reference = {name: each[rows] for name, each in self.reference.items()}
        return Statistics(self.standardiser, self.groups, self.centre[rows], self.scale[rows], reference)

    def __call__(self, scores: npt.ArrayLike, clips: pd.DataFrame) -> Floats:
        """Standardised scores, [candidates, clips]. A group that was not learned is judged as the whole machine."""
        given = np.asarray(scores, np.float64)
        if self.standardiser.how == "none":
            return given
        of = {name: place for place, name in enumerate(self.groups)}
        at = np.array([of.get(str(name), len(of) - 1) for name in self.standardiser.groups(clips)], np.intp)
        if self.standardiser.how != "rank":
            return np.asarray((given - self.centre[:, at]) / self.scale[:, at])
        made = np.empty_like(given)
        for place in np.unique(at):
            normals, here = self.reference[self.groups[place]], at == place
            for row, known in enumerate(normals):
                values = given[row, here]
                both = known.searchsorted(values, "left") + known.searchsorted(values, "right")
                made[row, here] = both / (2 * len(known))
        return made
