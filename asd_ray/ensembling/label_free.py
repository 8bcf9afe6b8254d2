"""Select members without labels: by the papers' settings, by a criterion, by consensus, or by injected faults."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling import criteria
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.criteria import Criterion, Evidence
from asd_ray.ensembling.criteria.consensus import consensus_weights
from asd_ray.ensembling.criteria.injected_faults import InjectedFaults
from asd_ray.ensembling.fault_scorer import FaultScorer
from asd_ray.ensembling.greedy import Selection, greedy
from asd_ray.ensembling.recipe import BY_CRITERION, Recipe, Slot
from asd_ray.ensembling.slots import fits
from asd_ray.ledger.paper_variants import SETTINGS_BY_LABELS, papers_own

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def without_labels(recipe: Recipe, candidates: Candidates) -> Selection:
    """The members of a recipe that uses no label. Neither labels of test clips nor a metric of them are read.

    A trial whose epoch was chosen by test labels (`--checkpoint oracle`) is not a member, nor is a candidate that the
    recipe's criterion cannot judge. Empty if no candidate is left. The result is kept with the candidates, because
    every protocol asks for it.
    """
    key = json.dumps(recipe.to_json(), sort_keys=True)
    if key not in candidates.memory:
        candidates.memory[key] = _selection(recipe, candidates)
    selection: Selection = candidates.memory[key]
    return selection


def criterion_of(recipe: Recipe) -> Criterion | None:
    """The criterion by which a recipe chooses; None for the papers' settings, and for recipes that use labels."""
    if recipe.select == "label_free_greedy":
        return criteria.find(InjectedFaults.name)
    return criteria.find(recipe.criterion) if recipe.select in BY_CRITERION else None


def criterion_lacking(recipe: Recipe, candidates: Candidates) -> str:
    """Why the recipe's criterion cannot be used on these candidates, in one line; "" if it can, or if it has none."""
    criterion = criterion_of(recipe)
    if criterion is None:
        return ""
    if reason := criteria.reason_against(criterion, evidence_on(candidates)):
        return f"chooses by {criterion.name}: {reason}"
    return ""


def evidence_on(candidates: Candidates) -> Evidence:
    """What criteria may look at, computed once."""
    if "evidence" not in candidates.memory:
        candidates.memory["evidence"] = Evidence.of(candidates)
    evidence: Evidence = candidates.memory["evidence"]
    return evidence


def criterion_notes(recipe: Recipe, candidates: Candidates) -> list[str]:
    """What a reader must know of a choice by a criterion or by the papers' settings; empty for recipes with labels."""
    criterion = criterion_of(recipe)
    if criterion is None:
        return _notes_of_papers(recipe, candidates) if recipe.select == "label_free" else []
    notes = [f"chosen by the criterion {criterion.name}: it prefers what {criterion.sentence}"]
    if criterion.transductive and len(candidates.clips):
        notes.append("transductive choice: the criterion looks at scores of the test clips (not at their labels)")
    unknown = np.flatnonzero(~np.isfinite(criterion.values(evidence_on(candidates))))
    if len(unknown):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        notes.append(f"{criterion.name} has no value for {candidates.label(int(unknown[0]))}{more}: never chosen")
    if candidates.table["guided"].any():
        notes.append("the search itself was led by test labels, so which candidates there are depends on them")
    return notes


def _selection(recipe: Recipe, candidates: Candidates) -> Selection:
    allowed = ~candidates.table["peeked"].to_numpy(bool)
    criterion = criterion_of(recipe)
    if criterion is None:
        return _papers_settings(recipe, candidates, allowed)
    if recipe.slots:
        allowed &= np.any([fits(slot, candidates.table) for slot in recipe.slots], axis=0)
    values = criterion.values(evidence_on(candidates))
    allowed &= np.isfinite(values)
    order = [int(row) for row in np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable") if allowed[row]]
    budget = candidates.budget
    if recipe.select == "label_free_best":
        return _equal(budget.chosen(order, 1))
    if recipe.select == "label_free_top_k":
        return _equal(budget.chosen(_one_per_trial(order, candidates), recipe.k))
    if recipe.select == "label_free_consensus":
        weights = consensus_weights(values)
        members = budget.chosen([row for row in order if weights[row] > 0], recipe.size)
        return Selection(tuple(members), tuple(float(weights[row]) for row in members))
    return _greedy(recipe, candidates, np.array(order, np.intp))


def _papers_settings(recipe: Recipe, candidates: Candidates, allowed: Mask) -> Selection:
    """The paper's setting of each family, with all its seeds. All families have the same total weight.

    The recipe's `variants` says whether all scores of such a trial are members, or the one that its paper reports. If
    the recipe has slots, they name the families; a slot that names variants has these.
    """
    table = candidates.table
    own = _papers_own(table) if recipe.variants == "paper" else np.ones(len(table), bool)
    slots = recipe.slots or tuple(Slot(family) for family in sorted(set(table["family"])))
    paper = table["paper"].to_numpy(bool) & allowed
    weights: dict[int, float] = {}
    for slot in slots:
        rows = np.flatnonzero(fits(slot, table) & paper & (own | bool(slot.variants)))
        for row in rows:
            weights[int(row)] = 1 / len(rows)
    return Selection(tuple(weights), tuple(weights.values()))


def _notes_of_papers(recipe: Recipe, candidates: Candidates) -> list[str]:
    """One note per member family whose authors chose the setting of this machine with its test labels."""
    members = candidates.table["family"].iloc[list(without_labels(recipe, candidates).members)]
    return [
        f"the authors of {family} chose its setting of each machine with test labels of DCASE {candidates.year}"
        for family in sorted(set(members))
        if candidates.year in SETTINGS_BY_LABELS.get(family, ())
    ]


def _papers_own(table: pd.DataFrame) -> Mask:
    """A mask of the candidates whose score is the one that their paper reports.

    If a paper names the score of each machine, which its authors chose with test labels, all scores count.
    """
    variants: dict[str, set[str]] = {}
    rows = list(zip(table["trial"], table["family"], table["variant"], strict=True))
    for trial, _, variant in rows:
        variants.setdefault(trial, set()).add(variant)
    return np.array([variant in papers_own(family, variants[trial]) for trial, family, variant in rows], bool)


def _greedy(recipe: Recipe, candidates: Candidates, order: npt.NDArray[np.intp]) -> Selection:
    if not len(order):
        return Selection((), ())
    own = candidates.take(order)
    scorer, scores = FaultScorer.of(own, recipe.standardise)
    found = greedy(scores, scorer, recipe.combine[0], size=recipe.size, pool=recipe.pool, budget=own.budget)
    trail = tuple((int(order[row]), value) for row, value in found.trail)
    return Selection(tuple(int(order[row]) for row in found.members), found.weights, trail)


def _one_per_trial(order: Sequence[int], candidates: Candidates) -> list[int]:
    """The best candidate of each trial: its other variants are often near-copies."""
    best: dict[str, int] = {}
    trials = candidates.table["trial"].to_numpy().astype(str)
    for row in order:
        best.setdefault(str(trials[row]), row)
    return list(best.values())


def _equal(members: Sequence[int]) -> Selection:
    return Selection(tuple(members), (1.0,) * len(members))
