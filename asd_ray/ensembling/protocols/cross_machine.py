"""cross_machine: chosen by the labels of other machines and measured on this one, by DCASE's first-shot rule.

`asd_ray.ensembling.across_machines` says what carries over from one machine to another.
"""

from __future__ import annotations

from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.protocols._base import Measurement, measurement_of
from asd_ray.ensembling.recipe import Recipe


class CrossMachine:
    name = "cross_machine"
    sentence = "chosen by the labels of other machines and measured on this one"
    forecasts = True

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, selection: Selection) -> Measurement:
        """The number of members that were chosen without a label of these clips."""
        scores = ensemble_scores(evaluation, recipe, selection, evaluation.all_clips, rescaled=False)
        return measurement_of(self.name, scores[None], evaluation.scorer, [selection])
