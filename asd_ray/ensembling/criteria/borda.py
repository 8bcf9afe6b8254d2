"""borda: the candidates' places under several criteria, aggregated by the median.

The median is robust: one criterion that fails on a machine moves it little. Criteria that cannot be used or that
saturate do not take part. Where the rest contradict each other so that the medians are all alike, as two criteria do
that rank two candidates oppositely, the first of them decides.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from asd_ray.ensembling.criteria._base import Criterion, Evidence, Floats
from asd_ray.ensembling.criteria.saturation import saturation


class Borda:
    name = "borda"
    sentence = "has high places under several criteria"

    def __init__(self, criteria: Sequence[Criterion]) -> None:
        self._criteria = tuple(criteria)
        self.transductive = any(criterion.transductive for criterion in criteria)

    def reason_against(self, evidence: Evidence) -> str:
        if not self._places_by_criterion(evidence):
            names = ", ".join(criterion.name for criterion in self._criteria)
            return f"none of {names} can be used"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        places = self._places_by_criterion(evidence)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a candidate that no criterion judges stays NaN
            medians = np.asarray(np.nanmedian(places, axis=0))
        # Other equal medians stay equal: stored ensembles were chosen by them, and --verify chooses again.
        return places[0] if saturation(medians) else medians

    def _places_by_criterion(self, evidence: Evidence) -> list[Floats]:
        """For each criterion that can be used, the place of each candidate: 1 for the best, 0 for the worst."""
        places = []
        for criterion in self._criteria:
            if not criterion.reason_against(evidence):
                values = criterion.values(evidence)
                if not saturation(values):
                    places.append(_places_of(values))
        return places


def _places_of(values: Floats) -> Floats:
    import scipy.stats  # slow to import

    places, known = np.full(len(values), np.nan), np.isfinite(values)
    places[known] = (scipy.stats.rankdata(values[known]) - 1) / max(1, int(known.sum()) - 1)
    return places
