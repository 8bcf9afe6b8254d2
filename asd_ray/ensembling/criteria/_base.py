"""The interface of a criterion: what ranks candidates without a single label."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from asd_ray.ensembling.candidates import Candidates

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
COLUMNS = ["clip", "id", "domain"]  # of the clips that a criterion may read
NO_FAULTS = "no candidate was scored on injected faults: search into a new --run with --faults or by normal sound alone"


@dataclass(frozen=True)
class Evidence:
    """What a criterion may look at. No table has a column of labels.

    Scores are [candidates, clips] and finite. `normal` are held-out normal clips; there are none where other clips
    standardise. `faults` are normal clips with an injected fault; there are none if no trial scored them, and
    rows of 0 for single candidates without such scores, see `scored`. `crops` are halves of held-out clips; rows of NaN
    for candidates without such scores. `unlabelled` are test clips, of which nobody knows whether they are normal.
    """

    table: pd.DataFrame  # one row per candidate: trial, variant, name, family, seed, paper, params …
    normal: Floats
    normal_clips: pd.DataFrame  # clip, id, domain
    faults: Floats
    fault_clips: pd.DataFrame
    unlabelled: Floats
    unlabelled_clips: pd.DataFrame
    scored: Mask  # candidates whose faults were scored; all of them if there are no faults
    crops: Floats
    crop_clips: pd.DataFrame
    _known: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # see remembered

    @classmethod
    def of(cls, candidates: Candidates) -> Self:
        """The evidence on candidates. Their labels are not read."""
        count = len(candidates)
        normal, normal_clips = _nothing(count)
        if candidates.by == "held_out":
            normal, normal_clips = np.asarray(candidates.normal_scores, np.float64), candidates.normal[COLUMNS]
        faults, fault_clips = _nothing(count)
        scored: Mask = np.ones(count, bool)
        if candidates.faults is not None:
            faults, fault_clips = np.array(candidates.faults.scores, np.float64), candidates.faults.clips[COLUMNS]
            scored = np.asarray(np.isfinite(faults).all(axis=1))
            faults[~scored] = 0.0
        crops, crop_clips = _nothing(count)
        if candidates.crops is not None:
            crops, crop_clips = np.asarray(candidates.crops.scores, np.float64), candidates.crops.clips[COLUMNS]
        return cls(
            candidates.table,
            normal,
            normal_clips,
            faults,
            fault_clips,
            np.asarray(candidates.scores, np.float64),
            candidates.clips[COLUMNS],
            scored,
            crops,
            crop_clips,
        )

    def __len__(self) -> int:
        return len(self.table)

    def remembered(self, name: str, compute: typing.Callable[[Evidence], Floats]) -> Floats:
        """A result that several criteria use, computed once."""
        if name not in self._known:
            self._known[name] = compute(self)
        return typing.cast("Floats", self._known[name])


def _nothing(count: int) -> tuple[Floats, pd.DataFrame]:
    return np.zeros((count, 0)), pd.DataFrame({name: np.array([], str) for name in COLUMNS})


class Criterion(typing.Protocol):
    """One criterion. A new one is one file here and one line in the table of ``criteria/__init__.py``."""

    @property
    def name(self) -> str:
        """The name in recipes, in ensemble files and on the command line."""

    @property
    def sentence(self) -> str:
        """What it prefers, for people; stored beside each choice. No capital letter, no full stop."""

    @property
    def transductive(self) -> bool:
        """Whether it looks at scores of unlabelled test clips, so that a choice depends on them."""

    def reason_against(self, evidence: Evidence) -> str:
        """Why it cannot be used on this evidence, in one line; "" if it can."""

    def values(self, evidence: Evidence) -> Floats:
        """One value per candidate, higher is better, NaN for one that it cannot judge.

        Called only where nothing is against it.
        """
