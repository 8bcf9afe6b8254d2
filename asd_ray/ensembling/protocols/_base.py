"""The interface of a protocol: a rule for which labels may be used in choosing the members of a measured ensemble.

Protocols that leave clips out choose another ensemble for each part. Before the scores of all parts are measured
together, the scores of each ensemble are put into units of its own scores of all the clips of an id, without labels.
Units of its scores of normal training clips would not do: how far test clips lie from those differs by detector, so
parts that chose differently would not fit together. The mean of the parts' own values would be biased for pAUC,
because the first tenth of false positive rates has only a few clips in one part.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.label_free import without_labels
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.select import select

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MeasuredPart:
    """Members that were chosen by a recipe, and the labelled clips that they are measured on."""

    evaluation: EvaluationSet
    recipe: Recipe
    selection: Selection
    clips: Mask


@dataclass(frozen=True)
class Measurement:
    """Scores of the labelled clips, one row per repeat, and their value: the mean over repeats."""

    protocol: str
    scores: Floats
    values: Floats  # one per repeat
    cells: dict[str, float]
    selections: tuple[Selection, ...]  # one per part
    scorer: CellScorer  # of the measured clips
    parts: tuple[MeasuredPart, ...] = ()  # of the first repeat, where the evaluation set has the measured clips

    @property
    def value(self) -> float:
        return float(self.values.mean())


class Described(typing.Protocol):
    """What every protocol says of itself."""

    @property
    def name(self) -> str:
        """The name in ensemble files, the report and the command line; not gap or decisions, which are other keys."""

    @property
    def sentence(self) -> str:
        """How it uses labels, for people; stored in the file beside each number. No capital letter, no full stop."""

    @property
    def forecasts(self) -> bool:
        """Whether the labels of the measured clips were not used in choosing, so that the number is no upper bound."""


class Protocol(Described, typing.Protocol):
    """One protocol that measures a recipe. A new one is one file here and one line in ``protocols/__init__.py``."""

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        """Whether these clips and this recipe allow it. Called first; `measure` is called only where it is True."""

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        """The number of a recipe that combines in one way."""


def measure_whole(protocol: str, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
    """Choose members on all clips and measure them on all clips."""
    selection = select_whole(evaluation, recipe, config)
    return _measurement(protocol, evaluation, recipe, [[(evaluation.all_clips, selection)]])


def measure_parts(
    protocol: str, evaluation: EvaluationSet, recipe: Recipe, repeats: Sequence[Sequence[Mask]], seed: int
) -> Measurement:
    """For each part, choose members without it and measure on it. The parts of a repeat make up all clips."""
    parts = [part for repeat in repeats for part in repeat]
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:  # numpy sorts without holding Python's lock
        selections = iter(list(pool.map(lambda part: select_without(evaluation, recipe, part, seed), parts)))
    chosen = [[(part, next(selections)) for part in repeat] for repeat in repeats]
    return _measurement(protocol, evaluation, recipe, chosen)


def select_whole(evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Selection:
    """Choose members by all clips: the members of the ensemble itself."""
    if not recipe.uses_labels:
        return without_labels(recipe, evaluation.candidates)
    table, budget = evaluation.candidates.table, evaluation.budget

    def chosen() -> Selection:
        alone = evaluation.alone(evaluation.all_clips)
        return select(recipe, table, evaluation.scores, evaluation.scorer, seed=config.seed, budget=budget, alone=alone)

    whole: Selection = evaluation.remembered(("whole", repr(recipe), config.seed), chosen)
    return whole


def select_without(evaluation: EvaluationSet, recipe: Recipe, left_out: Mask, seed: int) -> Selection:
    """Choose members by the other clips: neither labels nor scores of those left out are used."""
    table, budget, others = evaluation.candidates.table, evaluation.budget, ~left_out
    scores, scorer = evaluation.scores[:, others], evaluation.scorer.of(others)
    return select(recipe, table, scores, scorer, seed=seed, budget=budget, alone=evaluation.alone(others))


def _measurement(
    protocol: str, evaluation: EvaluationSet, recipe: Recipe, parts: Sequence[Sequence[tuple[Mask, Selection]]]
) -> Measurement:
    scores = np.empty((len(parts), evaluation.scores.shape[1]))
    for row, repeat in zip(scores, parts, strict=True):
        for clips, selection in repeat:
            row[clips] = ensemble_scores(evaluation, recipe, selection, clips, rescaled=len(repeat) > 1)
    measurement = measurement_of(protocol, scores, evaluation.scorer, [s for repeat in parts for _, s in repeat])
    first = tuple(MeasuredPart(evaluation, recipe, selection, clips) for clips, selection in parts[0])
    return replace(measurement, parts=first)


def measurement_of(protocol: str, scores: Floats, scorer: CellScorer, selections: Sequence[Selection]) -> Measurement:
    """The measurement of `scores` [repeats, clips] of the scorer's clips."""
    per_repeat = [scorer.cells(row) for row in scores]
    cells = {name: float(np.mean([one[name] for one in per_repeat])) for name in per_repeat[0]}
    return Measurement(protocol, scores, scorer(scores), cells, tuple(selections), scorer)
