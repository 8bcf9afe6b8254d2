"""crop_stability: whether both halves of a normal clip get the same rank."""

from __future__ import annotations

import numpy as np

from asd_ray.ensembling.criteria._agreement import ranks_per_id, unit_rows
from asd_ray.ensembling.criteria._base import Evidence, Floats
from asd_ray.metrics.injected import crop_halves, crop_sources

LEAST = 4  # clips of which both halves were scored
NO_CROPS = "no candidate was scored on halves of clips: a search with --faults or by normal sound alone does that"


class CropStability:
    """The correlation between the ranks of first halves and those of second halves, ranked within their id."""

    name = "crop_stability"
    sentence = "gives both halves of a normal clip the same rank"
    transductive = False

    def reason_against(self, evidence: Evidence) -> str:
        if not evidence.crops.shape[1]:
            return NO_CROPS
        if (both := len(evidence.crop_clips) // 2) < LEAST:
            return f"it needs both halves of {LEAST} clips or more, and there are {both}"
        return ""

    def values(self, evidence: Evidence) -> Floats:
        clips = evidence.crop_clips.reset_index(drop=True)
        halves, sources = crop_halves(clips["clip"]), crop_sources(clips["clip"])
        first, second = (np.flatnonzero(halves == half) for half in (0, 1))
        second = second[np.argsort(sources[second])][np.argsort(np.argsort(sources[first]))]  # the partner of each
        scored = np.isfinite(evidence.crops).all(axis=1)
        values = np.full(len(evidence), np.nan)
        one, other = (
            unit_rows(ranks_per_id(evidence.crops[np.ix_(scored, half)], clips.iloc[half])) for half in (first, second)
        )
        values[scored] = np.einsum("ij,ij->i", one, other)
        return values
