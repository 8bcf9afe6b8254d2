"""Values on injected faults that rest on few held-out clips, or that saturate.

It matters where such values chose: the search by normal sound alone compared its trials by them, or the ensemble was
chosen by a criterion that uses them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from asd_ray.ensembling import criteria
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.criteria.injected_faults import InjectedFaults
from asd_ray.ensembling.criteria.saturation import SATURATES
from asd_ray.ensembling.label_free import criterion_of, evidence_on
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.trust_warning import TrustWarning

NAME = "fault_values"
LEAST_ALL = 10  # held-out clips of the machine
LEAST = 3  # of an id
SHOWN = 3  # ids in a sentence


def warnings(ensemble: Ensemble, candidates: Candidates) -> Iterator[TrustWarning]:
    """`candidates` are all that the ensemble was chosen from: they show whether the values saturate."""
    if candidates.faults is None:
        return
    yield from _few_clips(ensemble, candidates)
    yield from _saturated(ensemble, candidates)


def _few_clips(ensemble: Ensemble, candidates: Candidates) -> Iterator[TrustWarning]:
    criterion = criterion_of(ensemble.recipe)
    by_faults = criterion is not None and criteria.uses_faults(criterion)
    uses = ["the search compared its trials"] * candidates.normal_only + ["this ensemble was chosen"] * by_faults
    clips = _held_out(candidates) if uses else None
    if clips is None:
        return
    ids = sorted({*clips["id"], *candidates.clips["id"]})
    counts = {str(id): int((clips["id"] == id).sum()) for id in ids}
    few = {id: many for id, many in counts.items() if many < LEAST and len(counts) > 1}
    if len(clips) >= LEAST_ALL and not few:
        return
    shown = len(few) if len(few) <= SHOWN + 1 else SHOWN  # one more id takes no more words than its number
    of_ids = [f"{many} of id {id}" for id, many in few.items()][:shown]
    more = [f"and fewer than {LEAST} of each of {len(few) - shown} more ids"] * (len(few) > shown)
    yield TrustWarning(
        NAME,
        f"Few held-out clips to inject faults into: {', '.join([f'{len(clips)} of the machine', *of_ids, *more])}. "
        f"Values on injected faults, by which {' and '.join(uses)}, then depend on single clips and saturate easily. "
        "Search again with a larger --held-out (0.5 at most).",
        {"clips": len(clips), "fewest": min(counts.values()), "ids": len(few)},
    )


def _saturated(ensemble: Ensemble, candidates: Candidates) -> Iterator[TrustWarning]:
    if ensemble.recipe.uses_labels and not candidates.normal_only:
        return
    criterion, evidence = InjectedFaults(), evidence_on(candidates)
    if criterion.reason_against(evidence):
        return
    values = criterion.values(evidence)
    reason = criteria.saturation(values)
    if not reason.startswith(SATURATES):
        return
    searched = "the search had little to compare its trials by, and " if candidates.normal_only else ""
    yield TrustWarning(
        NAME,
        f"Values on injected faults hardly tell the candidates apart: {reason.removeprefix(SATURATES)}. So {searched}"
        "recipes that choose by these values alone were not followed.",
        {"candidates": len(candidates), "lowest": float(np.nanmin(values)), "highest": float(np.nanmax(values))},
    )


def _held_out(candidates: Candidates) -> pd.DataFrame | None:
    if candidates.by == "held_out":
        return candidates.normal
    found = candidates.take([0]).of_split("held_out")
    return None if found is None else found[0]
