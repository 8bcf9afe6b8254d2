"""crossval: chosen on folds of the clips and measured on the fold left out, with new folds in each repeat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asd_ray.ensembling.cell_scorer import CellScorer, strata_of
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet, Mask
from asd_ray.ensembling.protocols._base import Measurement, measure_parts, measure_whole
from asd_ray.ensembling.recipe import Recipe
from asd_ray.errors import AsdRayError


class CrossVal:
    name = "crossval"
    sentence = "chosen on folds of the test clips and measured on the fold left out"
    forecasts = True

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        return not recipe.uses_labels or fewest_clips(evaluation.scorer) > 1

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        """Measure on folds. A recipe that uses no label needs none: its members are the same for every fold."""
        if not recipe.uses_labels:
            return measure_whole(self.name, evaluation, recipe, config)
        repeats = [
            list(folds_of(evaluation.scorer, config.folds, config.seed + repeat)) for repeat in range(config.repeats)
        ]
        return measure_parts(self.name, evaluation, recipe, repeats, config.seed)


def folds_of(scorer: CellScorer, folds: int, seed: int) -> Iterator[Mask]:
    """The clips of each fold; each id, domain and label is spread over the folds as evenly as possible."""
    if folds < 2:
        raise AsdRayError(f"crossval needs 2 folds or more but got {folds}")
    draw, strata = np.random.default_rng(seed), strata_of(scorer.clips)
    name, rows = min(strata.items(), key=lambda item: len(item[1]))
    fewest = len(rows)
    if fewest < 2:
        raise AsdRayError(
            f"crossval needs 2 clips or more of each id, domain and label but {name} has {fewest}; leave that id out"
        )
    fold, at = np.empty(len(scorer.clips), np.intp), 0
    for rows in strata.values():
        fold[draw.permutation(rows)] = (at + np.arange(len(rows))) % min(folds, fewest)
        at += len(rows)
    for number in range(min(folds, fewest)):
        yield fold == number


def fewest_clips(scorer: CellScorer) -> int:
    """The smallest number of clips of an id, domain and label, which limits the number of folds."""
    return min(map(len, strata_of(scorer.clips).values()))
