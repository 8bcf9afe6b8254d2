"""family_consensus: the consensus among families, so that many near-copies of one family do not form it.

The candidates of a family agree on a ranking of the test clips by their weights, and the families on one of all, as
`consensus` does for candidates. A candidate's value is its correlation with the consensus of the other families.
"""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._agreement import ranks_per_id, unit_rows
from asd_ray.ensembling.criteria._base import Evidence, Floats
from asd_ray.ensembling.criteria.consensus import ROUNDS, lacking, weights_of

LEAST = 3  # families


class FamilyConsensus:
    name = "family_consensus"
    sentence = "agrees with the other families in the ranks of the unlabelled test clips"
    transductive = True

    def reason_against(self, evidence: Evidence) -> str:
        count = evidence.table["family"].nunique()
        return lacking(evidence) or (f"it needs {LEAST} families or more, and there are {count}" * (count < LEAST))

    def values(self, evidence: Evidence) -> Floats:
        return evidence.remembered(self.name, _values)


def _values(evidence: Evidence) -> Floats:
    units = unit_rows(ranks_per_id(evidence.unlabelled, evidence.unlabelled_clips))
    names, family = np.unique(evidence.table["family"].to_numpy().astype(str), return_inverse=True)
    own = np.equal.outer(np.arange(len(names)), family)  # [families, candidates]
    weights, of_family = np.ones(len(units)), np.ones(len(names))
    values = np.zeros(len(units))
    for _ in range(ROUNDS):
        rankings = unit_rows((own * weights) @ units)  # one per family
        others = unit_rows((of_family[:, None] * rankings).sum(axis=0) - of_family[:, None] * rankings)
        values = np.einsum("ij,ij->i", units, others[family])
        weights = np.where(values > 0, weights_of(values), 1e-6)
        of_family = np.maximum(weights_of(np.einsum("ij,ij->i", rankings, others)), 1e-6)
    return np.asarray(values)
