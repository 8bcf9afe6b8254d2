"""label_free: chosen without any label."""

from __future__ import annotations

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols._base import Measurement, measure_whole
from asd_ray.ensembling.recipe import Recipe
from asd_ray.errors import AsdRayError


class LabelFree:
    name = "label_free"
    sentence = "chosen without any test label"
    forecasts = True

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        return not recipe.uses_labels

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        if not self.possible(evaluation, recipe):
            raise AsdRayError(f"recipe {recipe.name} chooses by labels, so no number of it is label_free; use crossval")
        return measure_whole(self.name, evaluation, recipe, config)
