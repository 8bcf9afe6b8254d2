"""nested: the recipe is chosen as well, on folds of the test clips, and all of it is measured on the fold left out.

The final ensemble is the best of many recipes by its crossval, and the best of many is too good. Here each fold makes
this choice anew: every recipe is measured on the other clips by a crossval of its own (`INNER`), the best of them
chooses its members on all the other clips, and these are measured on the fold left out. So the number is that of the
whole procedure and no best of many.

To keep this affordable, the crossval inside a fold takes its members from the best candidates of that fold's other
clips (see `_sub`), and the folds are drawn `REPEATS` times only. The members that are measured are chosen from all
candidates.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet, Mask, ensemble_scores
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.protocols._base import (
    Floats,
    MeasuredPart,
    Measurement,
    measure_whole,
    measurement_of,
    select_without,
)
from asd_ray.ensembling.protocols.crossval import CrossVal, fewest_clips, folds_of
from asd_ray.ensembling.recipe import Recipe, Slot
from asd_ray.ensembling.slots import Rows, best_of_each, slot_rows

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 1  # of the folds
INNER = 3  # folds inside a fold, drawn once
LEAST = 2  # clips of each id, domain and label that folds inside a fold need
POOL = 100  # best candidates that the crossval inside a fold takes its members from
POOL_OF_GROUP = 10  # best candidates of each family, and of each slot of a recipe, that are always among them

Entry = tuple[EvaluationSet, Recipe]


class Nested:
    name = "nested"
    sentence = "chosen on folds of the test clips, the recipe included, and measured on the fold left out"
    forecasts = True

    def possible(self, entries: Sequence[Entry], config: EnsembleConfig) -> bool:
        """Whether there are recipes to choose from, and clips enough for folds inside folds.

        The other clips of each fold are at least `LEAST` of each id, domain and label.
        """
        fewest = fewest_clips(entries[0][0].scorer)
        left_out = -(-fewest // min(config.folds, fewest))  # rounded up
        return len(entries) > 1 and fewest - left_out >= LEAST

    def measure(self, entries: Sequence[Entry], config: EnsembleConfig) -> Measurement:
        """The number of choosing among these recipes, the first of equals. All have the same labelled clips."""
        scorer = entries[0][0].scorer
        whole = [_without_labels(evaluation, recipe, config) for evaluation, recipe in entries]
        repeats = min(REPEATS, config.repeats)
        folds = [list(folds_of(scorer, config.folds, config.seed + repeat)) for repeat in range(repeats)]
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
            chosen = iter(list(pool.map(lambda fold: _choose(entries, whole, fold, config), sum(folds, []))))
        scores, chosen_of = np.empty((repeats, len(scorer.clips))), list[MeasuredPart]()
        for row, parts in zip(scores, folds, strict=True):
            for part in parts:
                (evaluation, recipe), selection = next(chosen)
                row[part] = ensemble_scores(evaluation, recipe, selection, part, rescaled=True)
                chosen_of.append(MeasuredPart(evaluation, recipe, selection, part))
        measurement = measurement_of(self.name, scores, scorer, [each.selection for each in chosen_of])
        return replace(measurement, parts=tuple(chosen_of[: len(folds[0])]))


def _choose(
    entries: Sequence[Entry], whole: Sequence[Measurement | None], left_out: Mask, config: EnsembleConfig
) -> tuple[Entry, Selection]:
    """The best recipe by the other clips, and the members that it chooses on them."""
    others, inner = ~left_out, replace(config, folds=INNER, repeats=1)
    subs: dict[int, EvaluationSet] = {}
    values = []
    for (evaluation, recipe), same_everywhere in zip(entries, whole, strict=True):
        if same_everywhere is not None:
            values.append(float(evaluation.scorer.of(others)(same_everywhere.scores[:, others])[0]))
            continue
        if id(evaluation) not in subs:
            recipes = [recipe for of, recipe in entries if of is evaluation]
            subs[id(evaluation)] = _sub(evaluation, recipes, others)
        values.append(CrossVal().measure(subs[id(evaluation)], recipe, inner).value)
    best = int(np.argmax(values))
    (evaluation, recipe), same_everywhere = entries[best], whole[best]
    if same_everywhere is not None:
        return entries[best], same_everywhere.selections[0]
    return entries[best], select_without(evaluation, recipe, left_out, config.seed)


def _without_labels(evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement | None:
    """A recipe that uses no label has the same members in every fold."""
    return None if recipe.uses_labels else measure_whole(Nested.name, evaluation, recipe, config)


def _sub(evaluation: EvaluationSet, recipes: Sequence[Recipe], clips: Mask) -> EvaluationSet:
    """The best candidates, by these clips alone, on these clips alone."""
    scores, scorer, table = evaluation.scores[:, clips], evaluation.scorer.of(clips), evaluation.candidates.table
    alone: Floats = evaluation.alone(clips)
    families = table["family"].to_numpy()
    groups = [np.flatnonzero(families == family) for family in dict.fromkeys(families)]
    best = [np.argsort(-alone, kind="stable")[:POOL]]
    for recipe in recipes:
        own = slot_rows(recipe, table)
        groups += own
        best += [_of_slot(slot, table, rows, alone) for slot, rows in zip(recipe.slots, own, strict=True)]
    best += [rows[np.argsort(-alone[rows], kind="stable")[:POOL_OF_GROUP]] for rows in groups]
    rows = np.unique(np.concatenate(best))
    return EvaluationSet(
        evaluation.candidates.take(rows),
        evaluation.statistics.take(rows.tolist()),
        evaluation.rows[clips],
        np.setdiff1d(evaluation.ranked, evaluation.rows[~clips]),
        scorer,
        scores[rows],
        evaluation.budget.take(rows),
    )


def _of_slot(slot: Slot, table: pd.DataFrame, rows: Rows, alone: Floats) -> Rows:
    """The best candidates of a slot that may be members together."""
    order = rows[np.argsort(-alone[rows], kind="stable")].tolist()
    return np.array(best_of_each(slot, table, order)[: max(POOL_OF_GROUP, slot.size)], np.intp)
