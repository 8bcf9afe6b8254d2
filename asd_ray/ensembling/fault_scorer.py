"""The value that choosing by injected faults maximises, for candidates and for ensembles of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.criteria._base import COLUMNS
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError
from asd_ray.metrics.injected import fault_values

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FaultScorer:
    """Values of scores [ensembles, clips]; the clips are held-out normal clips, then those with an injected fault."""

    normal: pd.DataFrame
    faults: pd.DataFrame

    @classmethod
    def of(cls, candidates: Candidates, standardiser: Standardiser) -> tuple[Self, Floats]:
        """The scorer, and the standardised scores of the candidates that it takes."""
        if candidates.faults is None or candidates.by != "held_out":
            raise AsdRayError(f"{candidates.machine}: no scores of held-out clips and of injected faults to choose by")
        statistics = standardiser.learn(candidates.normal_scores, candidates.normal)
        normal, faults = candidates.normal[COLUMNS], candidates.faults.clips
        scores = (statistics(candidates.normal_scores, normal), statistics(candidates.faults.scores, faults))
        return cls(normal, faults), np.concatenate(scores, axis=1)

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        values, count = np.asarray(scores, np.float64), len(self.normal)
        return fault_values(values[:, :count], self.normal, values[:, count:], self.faults)
