"""Ensembles within a limit on their time: candidates with their costs, and the whole ensemble measured at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from asd_ray.ensembling.candidates import UNTIMED, Candidates, LeftOut
from asd_ray.ensembling.costs import InferenceTime, Timer, in_ms
from asd_ray.ensembling.requirements import CannotFollow
from asd_ray.ensembling.result import Ensemble
from asd_ray.errors import AsdRayError

TRIES = 4  # choices with ever smaller budgets, until the whole ensemble is within the limit
MARGIN = 0.98  # of a smaller budget, because two measurements differ a little


def with_costs(candidates: Candidates, timer: Timer, limit: float) -> Candidates:
    """The candidates that can be measured, with their costs. Those that cannot are left out and named."""
    costs = timer.costs(list(dict.fromkeys(candidates.table["trial"])))
    timed = candidates.table["trial"].isin(list(costs.detectors)).to_numpy(bool)
    others = candidates.table[~timed].drop_duplicates("trial")
    details = [timer.unmeasured[trial] for trial in others["trial"]]
    left_out = [
        LeftOut(name, family, "", UNTIMED, detail)
        for name, family, detail in zip(others["name"], others["family"], details, strict=True)
    ]
    if not timed.any():
        raise AsdRayError(
            f"{candidates.machine}: no candidate can be measured, so --infer-limit cannot choose: {details[0]}"
        )
    return replace(
        candidates.take(np.flatnonzero(timed)),
        left_out=(*candidates.left_out, *left_out),
        costs=costs,
        limit=limit,
    )


def within_limit(
    ensemble: Ensemble, candidates: Candidates, timer: Timer, rebuild: Callable[[Candidates], Ensemble]
) -> Ensemble:
    """The ensemble with its measured time.

    Costs that are measured one by one need not add up to the time of the whole. Where that is above the limit, the
    ensemble is chosen again with a smaller budget.
    """
    limit = candidates.limit
    for _ in range(TRIES):
        assert candidates.costs is not None  # `with_costs` gave them
        seconds = timer.whole(list(dict.fromkeys(member.trial for member in ensemble.members)))
        if seconds <= limit:
            return replace(ensemble, inference=InferenceTime(seconds, candidates.limit, candidates.costs))
        candidates = replace(candidates, limit=candidates.limit * limit / seconds * MARGIN)
        try:
            ensemble = rebuild(candidates)
        except CannotFollow:  # nothing is left that fits
            break
    raise AsdRayError(
        f"{ensemble.machine}: recipe {ensemble.recipe.stem}: its members took {in_ms(seconds)} for 10 s of sound when "
        f"they were measured together, more than the limit of {in_ms(limit)}, and no smaller choice fits; use a larger "
        "--infer-limit"
    )
