"""consensus: how well a candidate's ranks of the test clips agree with the consensus of all candidates.

It starts with equal weights. In each of `ROUNDS`, a candidate's weight becomes the 4th power of its positive Pearson
correlation, in ranks per id, with the weighted mean of all.
"""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._agreement import ranks_per_id, unit_rows
from asd_ray.ensembling.criteria._base import Evidence, Floats

ROUNDS, POWER = 10, 4
LEAST = 3  # candidates


class Consensus:
    name = "consensus"
    sentence = "agrees with the other candidates in the ranks of the unlabelled test clips"
    transductive = True

    def reason_against(self, evidence: Evidence) -> str:
        if evidence.unlabelled.shape[1] < 2:
            return "it compares scores of test clips, and there are none"
        if len(evidence) < LEAST:
            return f"it needs {LEAST} candidates or more to agree"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        return evidence.remembered(self.name, _values)


def consensus_weights(values: Floats) -> Floats:
    """The weight of each candidate in the consensus, from its correlation."""
    return np.asarray(np.maximum(values, 0.0) ** POWER)


def _values(evidence: Evidence) -> Floats:
    ranks = ranks_per_id(evidence.unlabelled, evidence.unlabelled_clips)
    units, weights = unit_rows(ranks), np.ones(len(ranks))
    correlation = np.zeros(len(ranks))
    for _ in range(ROUNDS):
        correlation = units @ unit_rows((weights @ ranks)[None])[0]
        if not (correlation > 0).any():
            break
        weights = consensus_weights(correlation)
    return np.asarray(correlation)
