"""Choosing members by the values of candidates on labelled clips: what every recipe but `label_free` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.greedy import Chosen, greedy
from asd_ray.ensembling.judge import DIGITS, Judge
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


def choose(recipe: Recipe, table: pd.DataFrame, scores: Floats, judge: Judge, *, seed: int = 0) -> Chosen:
    """Members of an ensemble out of `table`, a row a candidate, by their standardised `scores` of the judge's clips.

    Whatever is chosen is chosen by these clips alone.
    """
    if recipe.select == "label_free":
        return without_labels(recipe, table)
    how = recipe.combine[0]
    if recipe.select == "greedy":
        return greedy(
            scores,
            judge,
            how,
            size=recipe.size,
            pool=recipe.pool,
            bags=recipe.bags,
            fraction=recipe.fraction,
            seed=seed,
        )
    alone = judge(scores).round(DIGITS)
    if recipe.select == "optuna_weights":
        from asd_ray.ensembling.optuna_weights import weighted

        return weighted(scores, judge, _best_of_trials(table, alone, recipe.k), trials=recipe.trials, seed=seed)
    return _stepwise([*_members(recipe, table, alone)], scores, judge, how)


def _members(recipe: Recipe, table: pd.DataFrame, alone: Floats) -> Sequence[int]:
    """Best first, but slots in their order."""
    if recipe.select == "best":
        rows = np.flatnonzero(np.any([fits(slot, table) for slot in recipe.slots], axis=0)) if recipe.slots else None
        return [_best(alone, np.arange(len(alone)) if rows is None else rows)]
    if recipe.select == "top_k":
        return [int(each) for each in np.argsort(-alone, kind="stable")[: recipe.k]]
    if recipe.select == "slots":
        return [_best(alone, np.flatnonzero(fits(slot, table))) for slot in recipe.slots]
    own = [_best(alone, np.flatnonzero(table["family"] == each)) for each in sorted(set(table["family"]))]
    return sorted(own, key=lambda row: -alone[row])


def check(recipe: Recipe, machine: str, table: pd.DataFrame) -> None:
    """Say what a recipe asks for and the ledger lacks, and how to get it."""
    lacking = [slot for slot in recipe.slots if not fits(slot, table).any()]
    needed = lacking if recipe.select == "slots" else lacking if len(lacking) == len(recipe.slots) else []
    if needed:
        families = ",".join(dict.fromkeys(slot.family for slot in needed))
        raise AsdRayError(
            f"{machine}: recipe {recipe.name.partition('.')[0]} needs {'; '.join(map(str, needed))}, which no complete "
            f"trial has; run: asd-ray search {machine} --families {families}"
        )
    if recipe.select == "label_free" and not without_labels(recipe, table).members:
        raise AsdRayError(
            f"{machine}: recipe {recipe.name.partition('.')[0]} takes the papers' settings, and the ledger has no "
            f"complete trial of one; run: asd-ray search {machine}, or choose another recipe"
        )


def fits(slot: Slot, table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    own = (table["family"] == slot.family).to_numpy(copy=True)
    if slot.variants:
        own &= table["variant"].isin(slot.variants).to_numpy()
    for name, value in slot.params.items():
        own &= np.array([params.get(name) == value for params in table["params"]], bool)
    return own


def without_labels(recipe: Recipe, table: pd.DataFrame) -> Chosen:
    """Of each family the paper's setting, all its seeds and variants; a family weighs as much as any other.

    A trial that kept the epoch which test labels liked best (`--checkpoint oracle`) has seen them.

    Slots, where there are some, say which families and which of their variants are meant.
    """
    slots = recipe.slots or tuple(Slot(family) for family in sorted(set(table["family"])))
    paper = (table["paper"] & ~table["peeked"]).to_numpy(bool)
    weights: dict[int, float] = {}
    for slot in slots:
        rows = np.flatnonzero(fits(slot, table) & paper)
        for row in rows:
            weights[int(row)] = 1 / len(rows)
    return Chosen(tuple(weights), tuple(weights.values()))


def _stepwise(members: list[int], scores: Floats, judge: Judge, how: str) -> Chosen:
    """Equal weights, and what the ensemble is worth as its members come in."""
    members = list(dict.fromkeys(members))
    steps = np.stack([combine(scores[members[: n + 1]], how) for n in range(len(members))])
    trail = zip(members, judge(steps).tolist(), strict=True)
    return Chosen(tuple(members), (1.0,) * len(members), tuple(trail))


def _best(alone: Floats, rows: npt.NDArray[np.intp]) -> int:
    return int(rows[np.argmax(alone[rows])])


def _best_of_trials(table: pd.DataFrame, alone: Floats, k: int) -> list[int]:
    """The best variant of each of the k best trials."""
    best: dict[Any, int] = {}
    for row in np.argsort(-alone, kind="stable"):
        best.setdefault(table["trial"].iat[row], int(row))
        if len(best) == k:
            break
    return list(best.values())
