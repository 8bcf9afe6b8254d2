"""The requirements of a recipe that the candidates do not meet, with the reason and the command that helps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.costs import in_ms
from asd_ray.ensembling.label_free import criterion_lacking, criterion_of, without_labels
from asd_ray.ensembling.preference import DEFAULT_ORDER
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.recipe_file import find_recipe
from asd_ray.ensembling.slots import slot_rows
from asd_ray.ensembling.unfilled import reasons_of, slots_lacking
from asd_ray.ensembling.unmeasured import lack, what_they_are
from asd_ray.errors import AsdRayError


class CannotFollow(AsdRayError):
    """A recipe that the candidates of a machine do not allow.

    `everywhere` is the reason with a command for all machines, so that one line can report several machines.
    """

    def __init__(self, machine: str, reason: str, everywhere: str) -> None:
        super().__init__(f"{machine}: {reason}")
        self.everywhere = everywhere


def check(recipe: Recipe, candidates: Candidates) -> None:
    """Raise CannotFollow if the candidates do not allow the recipe. Called before a recipe is followed."""
    if reason := lacking(recipe, candidates):
        raise CannotFollow(candidates.machine, reason, lacking(recipe, replace(candidates, machine="")))


def lacking(recipe: Recipe, candidates: Candidates) -> str:
    """A message on what is missing and how to get it; "" if nothing is missing."""
    if recipe.uses_labels and not candidates.labelled:
        return (
            f"recipe {recipe.stem} chooses by labels of test clips, and {lack(candidates.clips)} "
            f"({what_they_are(candidates.clips)}); choose without labels: --recipe label_free"
        )
    if recipe.combine[0] in TRANSDUCTIVE and not len(candidates.clips):
        return f"recipe {recipe.stem} ranks scores among test clips, and there are none; combine by mean instead"
    budget = candidates.budget
    if not budget.room().any():
        cheapest = int(np.argmin(budget.added(())))
        least = float(budget.added(())[cheapest])
        return (
            f"no candidate scores 10 s of sound within {in_ms(budget.limit)} on this computer; the fastest is "
            f"{candidates.table['name'].iat[cheapest]} with {in_ms(least)}: {_larger_limit(least)}"
        )
    start = f"recipe {recipe.stem}"
    if reason := slots_lacking(recipe, candidates):
        return f"{start} {reason}"
    if reason := criterion_lacking(recipe, candidates):
        return f"{start} {reason}{_instead(recipe, candidates)}"
    if recipe.uses_labels or without_labels(recipe, candidates).members:
        return _too_slow(recipe, candidates)
    if criterion_of(recipe):
        return (
            f"{start} needs a candidate that its criterion can judge and whose epoch test labels did not choose "
            f"(--checkpoint oracle); run: {candidates.search((), '--checkpoint', 'last')}, or choose another recipe"
        )
    if candidates.table["paper"].any():
        return (
            f"{start} needs a trial with the papers' settings, and test labels chose the epoch of every such trial "
            f"(--checkpoint oracle); run: {candidates.search((), '--checkpoint', 'last')}, or choose another recipe"
        )
    return (
        f"{start} needs a complete trial with the papers' settings, and the ledger has none"
        f"{reasons_of(candidates.left_out)}; run: {candidates.search()}, or choose another recipe"
    )


def _instead(recipe: Recipe, candidates: Candidates) -> str:
    """The first shipped recipe without labels that these candidates allow, as the end of a message; "" for none."""
    for stem in dict.fromkeys(name.partition(".")[0] for name in DEFAULT_ORDER):
        other = replace(find_recipe(stem), by=recipe.by)
        if criterion_of(other):
            can_be_followed = not criterion_lacking(other, candidates)
        else:
            can_be_followed = bool(candidates.table["paper"].any())
        if can_be_followed:
            return f"; choose another recipe: --recipe {stem}"
    return ""


def _too_slow(recipe: Recipe, candidates: Candidates) -> str:
    """A message if the members that the recipe needs do not fit into the budget; "" if they do."""
    budget, table, start = candidates.budget, candidates.table, f"recipe {recipe.stem}"
    if math.isinf(budget.limit):
        return ""
    limit = f"more than the limit of {in_ms(budget.limit)}"
    if recipe.select == "label_free":
        members = without_labels(recipe, candidates).members
        cost = budget.cost(members)
        trials = len(set(table["trial"].iloc[list(members)]))
        what = "the trial" if trials == 1 else f"the {trials} trials"
        what += (
            f" with the papers' settings, which {'takes' if trials == 1 else 'take'} {in_ms(cost)} for 10 s of sound"
        )
        return "" if budget.allows(cost) else f"{start} needs {what}, {limit}; {_larger_limit(cost)}"
    if recipe.select == "slots":
        first, *rest = slot_rows(recipe, table)
        if budget.room((), rest)[first].any():
            return ""
        added = budget.added(())
        cost = float(sum(added[rows].min() for rows in (first, *rest)))
        what = f"the fastest candidates of its slots take up to {in_ms(cost)} for 10 s of sound"
        return f"{start}: {what}, {limit}; {_larger_limit(cost)}"
    if recipe.select == "best" and recipe.slots:
        rows = np.concatenate(slot_rows(recipe, table))
        cost = float(budget.added(())[rows].min())
        what = f"the fastest candidate of its slots takes {in_ms(cost)} for 10 s of sound"
        return "" if budget.allows(cost) else f"{start}: {what}, {limit}; {_larger_limit(cost)}"
    return ""


def _larger_limit(seconds: float) -> str:
    return f"use --infer-limit {math.ceil(seconds * 1050)}ms or more, or search faster settings"
