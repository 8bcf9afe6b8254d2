"""cross_id: chosen on the clips of all other ids and measured on the id left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet, Mask
from asd_ray.ensembling.protocols._base import Measurement, measure_parts
from asd_ray.ensembling.recipe import Recipe
from asd_ray.errors import AsdRayError


class CrossId:
    name = "cross_id"
    sentence = "chosen on the test clips of the other ids and measured on the id left out"
    forecasts = True

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        """False for a recipe that uses no label: it would choose the same members, so the number would be the same."""
        return recipe.uses_labels and len(set(evaluation.ids)) > 1

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        return measure_parts(self.name, evaluation, recipe, [list(left_out_ids(evaluation.ids))], config.seed)


def left_out_ids(ids: npt.NDArray[np.str_]) -> Iterator[Mask]:
    """The clips of each id."""
    names = sorted(set(ids))
    if len(names) < 2:
        raise AsdRayError("cross_id chooses on other ids, and this machine has one; use crossval")
    for name in names:
        yield ids == name
