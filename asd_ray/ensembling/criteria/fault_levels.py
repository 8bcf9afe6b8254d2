"""fault_levels: whether a candidate's score rises with the strength of an injected fault."""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._base import NO_FAULTS, Evidence, Floats
from asd_ray.ensembling.criteria.centrality import common_ranks
from asd_ray.metrics.injected import fault_kinds, fault_levels


class FaultLevels:
    """The share of pairs of faults of one kind of which the stronger has the higher score, in ranks per id.

    It compares no fault with a normal clip, so it still tells candidates apart where all of them notice every fault.
    """

    name = "fault_levels"
    sentence = "scores a stronger injected fault higher than a weaker one of the same kind"
    transductive = False

    def reason_against(self, evidence: Evidence) -> str:
        if not evidence.faults.shape[1]:
            return NO_FAULTS
        if len(set(fault_levels(evidence.fault_clips["clip"]))) < 2:
            return "all injected faults are of one level"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        return evidence.remembered(self.name, _values)


def _values(evidence: Evidence) -> Floats:
    rows, names = evidence.scored, evidence.fault_clips["clip"]
    kinds, levels = fault_kinds(names), fault_levels(names)
    ranks = common_ranks(evidence)[rows, evidence.normal.shape[1] :]  # per id, so that ids can be compared
    right, pairs = np.zeros(len(ranks)), 0
    for kind in np.unique(kinds):
        own = np.flatnonzero(kinds == kind)
        for stronger in own:
            weaker = own[levels[own] < levels[stronger]]
            far = ranks[:, [stronger]] - ranks[:, weaker]
            right += (far > 0).sum(axis=1) + 0.5 * (far == 0).sum(axis=1)
            pairs += len(weaker)
    values = np.full(len(evidence), np.nan)
    values[rows] = right / pairs if pairs else np.nan
    return values
