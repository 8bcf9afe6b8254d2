"""The numbers that only a final ensemble has: they measure how it was chosen, not its recipe alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from asd_ray.ensembling.build import Builder
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.measuring import metrics_of
from asd_ray.ensembling.protocols import NESTED, Measurement
from asd_ray.ensembling.result import Ensemble


def with_nested(final: Ensemble, compared: Sequence[Ensemble], builder: Builder) -> Ensemble:
    """The final ensemble with the number of choosing it among the compared ones, where crossval chose it."""
    if final.tried is None or final.tried.chosen_by != "crossval":
        return final
    recipes = [ensemble.recipe for ensemble in sorted(compared, key=lambda ensemble: ensemble.name)]
    entries = [(builder.evaluation(recipe), recipe) for recipe in recipes]
    if not NESTED.possible(entries, builder.config):
        return final
    measurement = NESTED.measure(entries, builder.config)
    return with_measurement(
        final, builder.evaluation(final.recipe), measurement, builder.single(final.recipe), builder.config
    )


def with_measurement(
    final: Ensemble,
    evaluation: EvaluationSet,
    measurement: Measurement,
    single: Mapping[str, Measurement],
    config: EnsembleConfig,
) -> Ensemble:
    """The final ensemble with one more number; `single` holds the measurements of the best single detector."""
    metrics, _ = metrics_of(evaluation, {measurement.protocol: measurement}, single, config)
    by_protocol = {**final.metrics.by_protocol, **metrics.by_protocol}
    return replace(final, metrics=replace(final.metrics, by_protocol=by_protocol))
