"""Decisions of a final ensemble as counts: faults caught and false alarms, on the clips of its headline number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_ray._numbers import count
from asd_ray.ensembling._part import Part
from asd_ray.metrics.evaluable import ANOMALY, NORMAL

GROUND = {  # protocol -> what the counted clips are
    "unseen": "counted on clips that neither the search nor the choice has seen",
    "nested": "each clip was decided by an ensemble that was chosen without it",
    "crossval": "each clip was decided by members that were chosen without it",
    "label_free": "the members were chosen without labels",
    "oracle": "the members were chosen by these clips, so new clips will be decided less well",
}


@dataclass(frozen=True)
class DecisionCounts(Part):
    """Decisions on labelled clips, at the ensemble's threshold."""

    protocol: str  # how labels were used in choosing what decides: that of the headline
    anomalies: int
    caught: int  # anomalies above the threshold
    normals: int
    false_alarms: int  # normal clips above the threshold

    @classmethod
    def of(cls, protocol: str, labels: npt.ArrayLike, alarms: npt.ArrayLike) -> Self:
        known, above = np.asarray(labels), np.asarray(alarms, bool)
        anomalous, normal = known == ANOMALY, known == NORMAL
        counts = (anomalous, anomalous & above, normal, normal & above)
        return cls(protocol, *(int(each.sum()) for each in counts))

    @property
    def sentence(self) -> str:
        """``catches 41 of 48 faults at 5 false alarms in 48 normal clips``"""
        faults, normals = count(self.anomalies, "fault"), count(self.normals, "normal clip")
        return f"catches {self.caught:,} of {faults} at {count(self.false_alarms, 'false alarm')} in {normals}"

    @property
    def ground(self) -> str:
        """What the counted clips are to the choice."""
        return GROUND.get(self.protocol, self.protocol)
