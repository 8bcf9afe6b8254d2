"""The numbers that only a final ensemble has: they measure how it was chosen, not its recipe alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from asd_ray.ensembling.build import Builder
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.counting import counts_of
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.measuring import metrics_of
from asd_ray.ensembling.protocols import NESTED, Measurement, measure
from asd_ray.ensembling.result import Ensemble


def with_own_numbers(final: Ensemble, compared: Sequence[Ensemble], builder: Builder) -> Ensemble:
    """The final ensemble with the number of choosing it among the compared ones, and with its counts of decisions."""
    nested = _nested(final, compared, builder)
    if nested is not None:
        single = builder.single(final.recipe)
        final = with_measurement(final, builder.evaluation_of(final), nested, single, builder.config)
    name = final.headline_protocol
    if name is None:
        return final
    if nested is not None and name == nested.protocol:
        of_headline = nested
    else:
        once = replace(builder.config, repeats=1)
        of_headline = measure(builder.evaluation_of(final), final.recipe, name, once)
    return replace(final, counts=counts_of(of_headline, builder.config, final.threshold.value))


def _nested(final: Ensemble, compared: Sequence[Ensemble], builder: Builder) -> Measurement | None:
    """The measurement of the choice, where crossval chose and the clips allow it."""
    if final.tried is None or final.tried.chosen_by != "crossval":
        return None
    ordered = sorted(compared, key=lambda ensemble: ensemble.name)
    entries = [(builder.evaluation_of(ensemble), ensemble.recipe) for ensemble in ordered]
    return NESTED.measure(entries, builder.config) if NESTED.possible(entries, builder.config) else None


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
