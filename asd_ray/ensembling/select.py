"""Select members by the candidates' values on labelled clips. `label_free` selects without them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.budget import Budget
from asd_ray.ensembling.cell_scorer import DIGITS, CellScorer
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.greedy import Selection, greedy
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.slots import fits, kept_apart, slot_rows
from asd_ray.ensembling.smooth_weights import smooth_weights
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


def select(
    recipe: Recipe,
    table: pd.DataFrame,
    scores: Floats,
    scorer: CellScorer,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    alone: Floats | None = None,
) -> Selection:
    """Select from `table`, one row per candidate, by standardised `scores`. Only the scorer's clips are used.

    Candidates for which the `budget` has no time left are skipped. `requirements.check` reports recipes whose fixed
    members do not fit. `alone` is the scorer's value of each candidate, if it is known.
    """
    if not recipe.uses_labels:
        raise AsdRayError(f"recipe {recipe.name} uses no label; its members are those of label_free.without_labels")
    budget = budget or Budget.of(table["trial"].tolist(), None, math.inf)
    how = recipe.combine[0]
    if recipe.select == "greedy":
        return greedy(
            scores,
            scorer,
            how,
            size=recipe.size,
            pool=recipe.pool,
            bags=recipe.bags,
            fraction=recipe.fraction,
            seed=seed,
            budget=budget,
            alone=alone,
        )
    alone = (scorer(scores) if alone is None else alone).round(DIGITS)
    if recipe.select == "optuna_weights":
        from asd_ray.ensembling.optuna_weights import weighted

        return weighted(
            scores, scorer, _best_of_trials(table, alone, recipe.k, budget), trials=recipe.trials, seed=seed
        )
    if recipe.select == "smooth_weights":
        return smooth_weights(scores, scorer, budget.chosen(np.argsort(-alone, kind="stable").tolist(), recipe.k))
    return _equally_weighted([*_members(recipe, table, alone, budget)], scores, scorer, how)


def _members(recipe: Recipe, table: pd.DataFrame, alone: Floats, budget: Budget) -> Sequence[int]:
    """Rows of the members: the best first, but slots in their order."""
    if recipe.select == "best":
        rows = (
            np.any([fits(slot, table) for slot in recipe.slots], axis=0) if recipe.slots else np.ones(len(table), bool)
        )
        return [_best(alone, np.flatnonzero(rows & budget.room()))]
    if recipe.select == "top_k":
        return budget.chosen(np.argsort(-alone, kind="stable").tolist(), recipe.k)
    if recipe.select == "slots":
        return _of_slots(recipe, table, alone, budget)
    families = table["family"].to_numpy().astype(str)
    own = dict[str, int]()
    room = budget.room()
    for row in np.lexsort((families, -alone)):  # the best first, equal ones in the order of families
        if families[row] not in own and room[row]:
            own[families[row]] = int(row)
            room = budget.room(own.values())
    return list(own.values())


def _of_slots(recipe: Recipe, table: pd.DataFrame, alone: Floats, budget: Budget) -> list[int]:
    """The best candidate of each slot in their order; then the further members of each, as far as time is left."""
    groups, members = slot_rows(recipe, table), list[int]()
    for at, rows in enumerate(groups):
        room = budget.room(members, groups[at + 1 :])
        members.append(_best(alone, rows[room[rows]]))
    firsts = tuple(members)
    for slot, rows, first in zip(recipe.slots, groups, firsts, strict=True):
        keys, room = kept_apart(slot, table), budget.room(members)
        taken = {keys[first]}
        for row in rows[np.argsort(-alone[rows], kind="stable")].tolist():
            if len(taken) < slot.size and room[row] and keys[row] not in taken:
                taken.add(keys[row])
                members.append(row)
                room = budget.room(members)
    return members


def _equally_weighted(members: list[int], scores: Floats, scorer: CellScorer, how: str) -> Selection:
    """Equal weights, and the value of the ensemble as its members are added."""
    members = list(dict.fromkeys(members))
    steps = np.stack([combine(scores[members[: n + 1]], how) for n in range(len(members))])
    trail = zip(members, scorer(steps).tolist(), strict=True)
    return Selection(tuple(members), (1.0,) * len(members), tuple(trail))


def _best(alone: Floats, rows: npt.NDArray[np.intp]) -> int:
    return int(rows[np.argmax(alone[rows])])


def _best_of_trials(table: pd.DataFrame, alone: Floats, k: int, budget: Budget) -> list[int]:
    """The best variant of each of the k best trials."""
    best: dict[Any, int] = {}
    trials = table["trial"].to_numpy()
    for row in np.argsort(-alone, kind="stable"):
        best.setdefault(trials[row], int(row))
    return budget.chosen(list(best.values()), k)
