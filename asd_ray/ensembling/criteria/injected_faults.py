"""injected_faults: how well a candidate tells normal clips with an injected fault from normal clips."""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._base import NO_FAULTS, Evidence, Floats
from asd_ray.metrics.injected import fault_values

LEAST = 2  # held-out clips; so few still gave useful values on four machines of MIMII


class InjectedFaults:
    name = "injected_faults"
    sentence = "tells held-out clips with an injected fault from held-out clips without one"
    transductive = False

    def reason_against(self, evidence: Evidence) -> str:
        if not evidence.normal.shape[1]:
            return "it compares with held-out normal clips, and the candidates are standardised by others"
        if not evidence.faults.shape[1]:
            return NO_FAULTS
        if evidence.normal.shape[1] < LEAST:
            return f"it needs {LEAST} held-out normal clips or more, and there are {evidence.normal.shape[1]}"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        return evidence.remembered(self.name, _values)


def _values(evidence: Evidence) -> Floats:
    values = np.full(len(evidence), np.nan)
    rows = evidence.scored
    values[rows] = fault_values(
        evidence.normal[rows], evidence.normal_clips, evidence.faults[rows], evidence.fault_clips
    )
    return values
