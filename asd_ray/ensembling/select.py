"""Choosing members by the values of candidates on labelled clips: what every recipe but `label_free` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_ray._shipped import shipped
from asd_ray.ensembling.candidates import CONSTANT, TEST_OTHERS, Candidates, LeftOut
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.greedy import Chosen, greedy
from asd_ray.ensembling.judge import DIGITS, Judge
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.errors import AsdRayError, unknown

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


def check(recipe: Recipe, candidates: Candidates) -> None:
    """Say what a recipe asks for and the candidates lack, why, and how to get it."""
    lacking = [slot for slot in recipe.slots if not fits(slot, candidates.table).any()]
    needed = lacking if recipe.select == "slots" else lacking if len(lacking) == len(recipe.slots) else []
    where = f"{candidates.machine}: recipe {recipe.name.partition('.')[0]}"
    if needed:
        why = [why for slot in needed if (why := _lacks(slot, candidates))]
        never = [slot for slot in needed if not _lacks(slot, candidates)]
        if never:
            families = list(dict.fromkeys(slot.family for slot in never))
            why.append(
                f"needs {'; '.join(map(str, never))}, which no complete trial has; run: {candidates.search(families)}"
            )
        raise AsdRayError(f"{where} {'; and '.join(why)}")
    if recipe.select == "label_free" and not without_labels(recipe, candidates.table).members:
        if candidates.table["paper"].any():
            raise AsdRayError(
                f"{where} takes the papers' settings, and test labels chose the epoch of every such trial "
                f"(--checkpoint oracle); run: {candidates.search((), '--checkpoint', 'last')}, or choose another recipe"
            )
        raise AsdRayError(
            f"{where} takes the papers' settings, and the ledger has no complete trial of one that can be used"
            f"{_reasons(candidates.left_out)}; run: {candidates.search()}, or choose another recipe"
        )


def _lacks(slot: Slot, candidates: Candidates) -> str:
    """Why no candidate fits a slot, with the cure of that reason; "" where such a trial was never tried."""
    own = candidates.table[candidates.table["family"] == slot.family]
    gone = [each for each in candidates.left_out if each.family == slot.family]
    if gone and (own.empty or any(each.variant in slot.variants for each in gone)):
        return f"needs {slot}, whose candidates cannot be used{_reasons(gone)}; {_cure(gone[0], candidates)}"
    if own.empty:
        known = {path.stem for path in shipped("search_spaces").glob("*.py")} | set(candidates.table["family"])
        if slot.family not in known:
            return (
                f"has an {unknown('family', slot.family[:60], known)}; a family of your own has the name that asd-ray "
                "ledger ls shows, once it was searched"
            )
        return ""
    if slot.variants and not own["variant"].isin(slot.variants).any():
        there = ", ".join(sorted(set(own["variant"])))
        return f"needs {slot}, but the variants of {slot.family} are {there}; name one of these"
    parameters = {name for params in own["params"] for name in params}
    if unlike := sorted(set(slot.params) - parameters):
        there = ", ".join(sorted(parameters)) or "none"
        return f"needs {slot}, but no trial of {slot.family} has a parameter {unlike[0]}; known: {there}"
    return ""


def _cure(left_out: LeftOut, candidates: Candidates) -> str:
    search = candidates.search([left_out.family])
    if left_out.reason == CONSTANT:
        return f"such scores cannot be standardised, their detectors learned nothing; search other settings: {search}"
    if left_out.reason == TEST_OTHERS:
        search = replace(candidates, run="").search([left_out.family], "--run")
        return f"they are of an earlier or later dataset; search in a run of its own: {search} OTHER_RUN"
    return f"standardise by other clips: --by {'held_out' if candidates.by == 'train' else 'train'}"


def _reasons(left_out: Sequence[LeftOut]) -> str:
    """`` (constant scores: fan-idnn-0000 mse and 3 more)``"""
    reasons: dict[str, list[str]] = {}
    for each in left_out:
        reasons.setdefault(each.reason, []).append(f"{each.name} {each.variant}".strip())
    parts = [
        f"{reason}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for reason, names in reasons.items()
    ]
    return f" ({'; '.join(parts)})" if parts else ""


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
