"""fault_levels: whether a candidate's score rises with the strength of an injected fault."""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._base import Evidence, Floats
from asd_ray.metrics.injected import fault_kinds, fault_levels


class FaultLevels:
    """The share of pairs of faults of one kind and id of which the stronger has the higher score.

    It looks at no normal clip, so it still tells candidates apart where all of them notice every fault.
    """

    name = "fault_levels"
    sentence = "scores a stronger injected fault higher than a weaker one of the same kind"
    transductive = False

    def reason_against(self, evidence: Evidence) -> str:
        if not evidence.faults.shape[1]:
            return "no candidate was scored on injected faults: search again with this version"
        if len(set(fault_levels(evidence.fault_clips["clip"]))) < 2:
            return "all injected faults are of one level"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        return evidence.remembered(self.name, _values)


def _values(evidence: Evidence) -> Floats:
    rows = evidence.scored
    kinds, levels = fault_kinds(evidence.fault_clips["clip"]), fault_levels(evidence.fault_clips["clip"])
    groups = np.char.add(np.char.add(kinds, "~"), evidence.fault_clips["id"].to_numpy().astype(str))
    scores = evidence.faults[rows]
    right, pairs = np.zeros(len(scores)), 0
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        for stronger in own:
            weaker = own[levels[own] < levels[stronger]]
            far = scores[:, [stronger]] - scores[:, weaker]
            right += (far > 0).sum(axis=1) + 0.5 * (far == 0).sum(axis=1)
            pairs += len(weaker)
    values = np.full(len(evidence), np.nan)
    values[rows] = right / pairs if pairs else np.nan
    return values
