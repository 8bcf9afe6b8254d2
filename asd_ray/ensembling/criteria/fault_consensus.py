"""fault_consensus: the consensus on the test clips of those candidates that find injected faults.

The plain consensus is that of the majority, also where the majority hears nothing. Here a candidate's weight in the
consensus is the 12th power of its value on injected faults, so a few good candidates lead.
"""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._agreement import ranks_per_id, unit_rows
from asd_ray.ensembling.criteria._base import Evidence, Floats
from asd_ray.ensembling.criteria.consensus import Consensus
from asd_ray.ensembling.criteria.injected_faults import InjectedFaults

POWER = 12


class FaultConsensus:
    name = "fault_consensus"
    sentence = "agrees, in the ranks of the unlabelled test clips, with the candidates that find injected faults"
    transductive = True

    def reason_against(self, evidence: Evidence) -> str:
        return Consensus().reason_against(evidence) or InjectedFaults().reason_against(evidence)

    def values(self, evidence: Evidence) -> Floats:
        return evidence.remembered(self.name, _values)


def _values(evidence: Evidence) -> Floats:
    ranks = ranks_per_id(evidence.unlabelled, evidence.unlabelled_clips)
    weights = np.nan_to_num(InjectedFaults().values(evidence)) ** POWER  # 0 where faults were not scored
    return np.asarray(unit_rows(ranks) @ unit_rows((weights @ ranks)[None])[0])
