"""oracle: chosen with the labels of the very clips that it is measured on."""

from __future__ import annotations

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols._base import Measurement, measure_whole
from asd_ray.ensembling.recipe import Recipe


class Oracle:
    name = "oracle"
    sentence = "chosen with the labels of the very clips it is measured on: an upper bound, not a forecast"
    forecasts = False

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        return True

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        return measure_whole(self.name, evaluation, recipe, config)
