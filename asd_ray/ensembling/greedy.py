"""Greedy forward selection with replacement: Caruana, Niculescu-Mizil, Crew, Ksikes, ICML 2004.

Each step adds the candidate with which the ensemble does best. A candidate may be added again, which gives it weight.
Of equal values, to six digits, a candidate that is a member already is preferred, then the one that is better alone.
The steps up to the best ensemble are kept. Selection also ends after `PATIENCE` steps without a better value: the
mean of more and more members hardly changes, and the same candidates are added in a cycle. Bagged selection chooses
several times from a random part of the candidates and adds up the weights.

A budget limits the time of the ensemble: a step only adds candidates for which there is time left. Each bag chooses
within the whole budget; of all their members, those of the largest weights stay that fit together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.budget import Budget
from asd_ray.ensembling.cell_scorer import DIGITS

Floats = npt.NDArray[np.float64]
Values = Callable[[Floats], Floats]  # scores [ensembles, clips] -> one value for each
PATIENCE = 100  # steps; more than the shipped recipes take at most, so it changes none of their choices


@dataclass(frozen=True)
class Selection:
    """Rows of the chosen candidates and their weights, in the order of choosing, and the value after each step."""

    members: tuple[int, ...]
    weights: tuple[float, ...]
    trail: tuple[tuple[int, float], ...] = ()  # candidate added, value reached


def greedy(
    scores: Floats,
    scorer: Values,
    how: str = "mean",
    *,
    size: int = 25,
    pool: int = 1000,
    bags: int = 1,
    fraction: float = 0.5,
    seed: int = 0,
    budget: Budget | None = None,
    alone: Floats | None = None,
) -> Selection:
    """Select from `scores` [candidates, clips], which are standardised; `how` is mean or max.

    The `pool` candidates that are best alone take part. With several `bags`, each bag has `fraction` of them.
    `alone` is the scorer's value of each candidate, if it is known.
    """
    budget = budget or Budget.of([""] * len(scores), None, math.inf)
    alone, room = (scorer(scores) if alone is None else alone).round(DIGITS), budget.room()
    best = np.argsort(-alone, kind="stable")
    best = best[room[best]][:pool]
    if bags == 1:
        return _once(scores, alone, best, scorer, how, size, budget)
    draw, weights, order = np.random.default_rng(seed), dict[int, float](), list[int]()
    for _ in range(bags):
        part = np.sort(draw.choice(len(best), max(1, round(fraction * len(best))), replace=False))
        selection = _once(scores, alone, best[part], scorer, how, size, budget)
        for member, weight in zip(selection.members, selection.weights, strict=True):
            order += [member] if member not in weights else []
            weights[member] = weights.get(member, 0.0) + weight / sum(selection.weights)
    stay = set(budget.chosen(sorted(order, key=lambda member: -weights[member])))
    order = [member for member in order if member in stay]
    return Selection(tuple(order), tuple(weights[member] for member in order))


def _once(
    scores: Floats,
    alone: Floats,
    best: npt.NDArray[np.intp],
    scorer: Values,
    how: str,
    size: int,
    budget: Budget,
) -> Selection:
    rows, budget = scores[best], budget.take(best)
    so_far = rows[0].copy()
    added, reached = [0], [float(alone[best[0]])]
    members, best_step = {0}, 0
    while len(added) < size and len(added) - best_step <= PATIENCE:
        extended = (so_far + rows) if how == "mean" else np.maximum(so_far, rows)  # a sum orders clips as a mean does
        values = np.where(budget.room(members), scorer(extended).round(DIGITS), -np.inf)
        ties = np.flatnonzero(values == values.max())
        at = next((int(tie) for tie in ties if int(tie) in members), int(ties[0]))
        if how == "max" and at in members:
            break  # the maximum would not change any more
        so_far = extended[at]
        best_step = len(added) if values[at] > reached[best_step] else best_step
        added.append(at)
        reached.append(float(values[at]))
        members.add(at)
    weights = Counter(added[: best_step + 1])
    return Selection(
        tuple(int(best[row]) for row in weights),
        tuple(map(float, weights.values())),
        tuple((int(best[row]), value) for row, value in zip(added, reached, strict=True)),
    )
