"""Criteria: what ranks candidates without labels. One file per criterion, and the table of them all."""

from __future__ import annotations

from asd_ray.ensembling.criteria._base import Criterion, Evidence
from asd_ray.ensembling.criteria.borda import Borda
from asd_ray.ensembling.criteria.centrality import Centrality
from asd_ray.ensembling.criteria.consensus import Consensus
from asd_ray.ensembling.criteria.crop_stability import CropStability
from asd_ray.ensembling.criteria.fault_consensus import FaultConsensus
from asd_ray.ensembling.criteria.fault_levels import FaultLevels
from asd_ray.ensembling.criteria.injected_faults import InjectedFaults
from asd_ray.ensembling.criteria.saturation import saturation
from asd_ray.ensembling.criteria.stability import Stability
from asd_ray.errors import unknown

__all__ = ["CRITERIA", "Criterion", "Evidence", "find", "reason_against", "saturation", "uses_faults"]

BY_FAULTS: tuple[Criterion, ...] = (InjectedFaults(), FaultLevels(), FaultConsensus())
# Consensus and centrality follow the majority, also where it is wrong: on several machines they rank upside down. So
# they have no part in the aggregate; see docs/criteria.md.
BORDA: Criterion = Borda(BY_FAULTS)
CRITERIA: tuple[Criterion, ...] = (
    *BY_FAULTS,
    Consensus(),
    Stability(),
    CropStability(),
    Centrality(),
    BORDA,
)


def find(name: str) -> Criterion:
    for criterion in CRITERIA:
        if criterion.name == name:
            return criterion
    raise unknown("criterion", name, [criterion.name for criterion in CRITERIA])


def uses_faults(criterion: Criterion) -> bool:
    """Whether its values rest on injected faults."""
    return criterion in (*BY_FAULTS, BORDA)


def reason_against(criterion: Criterion, evidence: Evidence) -> str:
    """Why a criterion is not used on this evidence, in one line: it cannot be used, or it saturates. "" if it is."""
    return criterion.reason_against(evidence) or saturation(criterion.values(evidence))
