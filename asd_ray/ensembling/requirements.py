"""The requirements of a recipe that the candidates do not meet, with the reason and the command that helps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asd_ray._shipped import shipped
from asd_ray.ensembling.candidates import CONSTANT, TEST_OTHERS, Candidates, LeftOut
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.costs import in_ms
from asd_ray.ensembling.label_free import criterion_lacking, criterion_of, without_labels
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.slots import fits, slot_rows
from asd_ray.ensembling.unmeasured import lack, what_they_are
from asd_ray.errors import AsdRayError, unknown


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
    unfilled = [slot for slot in recipe.slots if not fits(slot, candidates.table).any()]
    needed = unfilled if recipe.select == "slots" or len(unfilled) == len(recipe.slots) else []
    start = f"recipe {recipe.stem}"
    if needed:
        return f"{start} {_slots_lacking(needed, candidates)}"
    if reason := criterion_lacking(recipe, candidates):
        return f"{start} {reason}"
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
        f"{_reasons(candidates.left_out)}; run: {candidates.search()}, or choose another recipe"
    )


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


def _slots_lacking(needed: Sequence[Slot], candidates: Candidates) -> str:
    reasons = [(slot, _slot_lacking(slot, candidates)) for slot in needed]
    not_run = [slot for slot, reason in reasons if not reason]
    parts = [reason for _, reason in reasons if reason]
    if not_run:
        families = list(dict.fromkeys(slot.family for slot in not_run))
        slots = "; ".join(map(str, not_run))
        parts.append(f"needs {slots}, which no complete trial has; run: {candidates.search(families)}")
    return "; and ".join(parts)


def _slot_lacking(slot: Slot, candidates: Candidates) -> str:
    """The reason why no candidate fits a slot, with its cure; "" if no such trial was run."""
    own = candidates.table[candidates.table["family"] == slot.family]
    left_out = [candidate for candidate in candidates.left_out if candidate.family == slot.family]
    if left_out and (own.empty or any(candidate.variant in slot.variants for candidate in left_out)):
        return f"needs {slot}, whose candidates cannot be used{_reasons(left_out)}; {_cure(left_out[0], candidates)}"
    if own.empty:
        known = {path.stem for path in shipped("search_spaces").glob("*.py")} | set(candidates.table["family"])
        if slot.family not in known:
            return (
                f"has an {unknown('family', slot.family[:60], known)}; a family of your own has the name that asd-ray "
                "ledger ls shows, once it was searched"
            )
        return ""
    if slot.variants and not own["variant"].isin(slot.variants).any():
        variants = ", ".join(sorted(set(own["variant"])))
        return f"needs {slot}, but the variants of {slot.family} are {variants}; name one of these"
    parameters = {name for params in own["params"] for name in params}
    if strange := sorted(set(slot.params) - parameters):
        known_parameters = ", ".join(sorted(parameters)) or "none"
        return f"needs {slot}, but no trial of {slot.family} has a parameter {strange[0]}; known: {known_parameters}"
    return ""


def _cure(left_out: LeftOut, candidates: Candidates) -> str:
    search = candidates.search([left_out.family])
    if left_out.reason == CONSTANT:
        return f"constant scores cannot be standardised: the detector learned nothing; search other settings: {search}"
    if left_out.reason == TEST_OTHERS:
        search = replace(candidates, run="").search([left_out.family], "--run")
        return f"their clips are those of another dataset; search in a separate run: {search} OTHER_RUN"
    return f"standardise by other clips: --by {'held_out' if candidates.by == 'train' else 'train'}"


def _reasons(left_out: Sequence[LeftOut]) -> str:
    """`` (constant scores: fan-idnn-0000 mse and 3 more)``"""
    names_of: dict[str, list[str]] = {}
    for candidate in left_out:
        names_of.setdefault(candidate.reason, []).append(f"{candidate.name} {candidate.variant}".strip())
    parts = [
        f"{reason}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for reason, names in names_of.items()
    ]
    return f" ({'; '.join(parts)})" if parts else ""
