"""centrality: the mean correlation of a candidate's ranks with those of the others, on clips that are no test clips."""

from __future__ import annotations

import numpy as np
import pandas as pd

from asd_ray.ensembling.criteria._agreement import ranks_per_id, unit_rows
from asd_ray.ensembling.criteria._base import Evidence, Floats

LEAST = 3  # candidates


class Centrality:
    name = "centrality"
    sentence = "agrees with the other candidates in the ranks of held-out clips and of injected faults"
    transductive = False

    def reason_against(self, evidence: Evidence) -> str:
        if common_ranks(evidence).shape[1] < 2:
            return "it compares scores of held-out clips and of injected faults, and there are none"
        if evidence.scored.sum() < LEAST:
            return f"it needs {LEAST} candidates or more to agree"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        units = unit_rows(common_ranks(evidence)[evidence.scored])
        own = np.einsum("ij,ij->i", units, units)  # 1, or 0 for a candidate that gives all clips one score
        values = np.full(len(evidence), np.nan)
        values[evidence.scored] = (units @ units.sum(axis=0) - own) / (len(units) - 1)
        return values


def common_ranks(evidence: Evidence) -> Floats:
    """Ranks per id among the held-out clips and the injected faults together."""

    def compute(evidence: Evidence) -> Floats:
        clips = pd.concat([evidence.normal_clips, evidence.fault_clips], ignore_index=True)
        return ranks_per_id(np.concatenate([evidence.normal, evidence.faults], axis=1), clips)

    return evidence.remembered("common_ranks", compute)
