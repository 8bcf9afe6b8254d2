"""Greedy forward selection with replacement: Caruana, Niculescu-Mizil, Crew, Ksikes, ICML 2004.

Each step adds the candidate with which the ensemble does best; one may be added again, which gives it weight. Of equal
values, to six digits, one that is a member already is preferred, then the one that is better alone. What is kept are
the steps up to the best ensemble on the way, so it also ends after `PATIENCE` steps that reach nothing better: a mean
of ever more members hardly changes, and candidates come round in a cycle. Bagged, it chooses several times from a
random part of the candidates, and the weights are added up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.judge import DIGITS, Judge

Floats = npt.NDArray[np.float64]
PATIENCE = 100  # steps; more than the shipped recipes take altogether, so these choose as if there were no such end


@dataclass(frozen=True)
class Chosen:
    """Members and their weights, in the order they came, and what the ensemble was worth after each step."""

    members: tuple[int, ...]
    weights: tuple[float, ...]
    trail: tuple[tuple[int, float], ...] = ()  # candidate added, value reached


def greedy(
    scores: Floats,
    judge: Judge,
    how: str = "mean",
    *,
    size: int = 25,
    pool: int = 1000,
    bags: int = 1,
    fraction: float = 0.5,
    seed: int = 0,
) -> Chosen:
    """Choose of `scores` [candidates, clips], already standardised; `how` is mean or max.

    `pool` candidates that are best alone take part. With several `bags` each sees `fraction` of them.
    """
    alone = judge(scores).round(DIGITS)
    best = np.argsort(-alone, kind="stable")[:pool]
    if bags == 1:
        return _once(scores, alone, best, judge, how, size)
    draw, weights, first = np.random.default_rng(seed), dict[int, float](), list[int]()
    for _ in range(bags):
        part = np.sort(draw.choice(len(best), max(1, round(fraction * len(best))), replace=False))
        found = _once(scores, alone, best[part], judge, how, size)
        for member, weight in zip(found.members, found.weights, strict=True):
            first += [member] if member not in weights else []
            weights[member] = weights.get(member, 0.0) + weight / sum(found.weights)
    return Chosen(tuple(first), tuple(weights[member] for member in first))


def _once(scores: Floats, alone: Floats, best: npt.NDArray[np.intp], judge: Judge, how: str, size: int) -> Chosen:
    rows = scores[best]
    so_far = rows[0].copy()
    added, reached = [0], [float(alone[best[0]])]
    members, best_step = {0}, 0
    while len(added) < size and len(added) - best_step <= PATIENCE:
        made = (so_far + rows) if how == "mean" else np.maximum(so_far, rows)  # a sum orders clips as a mean does
        values = judge(made).round(DIGITS)
        ties = np.flatnonzero(values == values.max())
        at = next((int(tie) for tie in ties if int(tie) in members), int(ties[0]))
        if how == "max" and at in members:
            break  # the same again for ever
        so_far = made[at]
        best_step = len(added) if values[at] > reached[best_step] else best_step
        added.append(at)
        reached.append(float(values[at]))
        members.add(at)
    weights = Counter(added[: best_step + 1])
    return Chosen(
        tuple(int(best[each]) for each in weights),
        tuple(map(float, weights.values())),
        tuple((int(best[each]), value) for each, value in zip(added, reached, strict=True)),
    )
