"""Measure an ensemble under every protocol, with intervals and gains over the best single detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling import bootstrap, protocols
from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.metric import Gain, Metric, Metrics, Single
from asd_ray.ensembling.protocols import Measurement
from asd_ray.ensembling.recipe import Recipe

Floats = npt.NDArray[np.float64]
Draw = Callable[[CellScorer, int, int], npt.NDArray[np.intp]]


def measurements(evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> dict[str, Measurement]:
    """The measurements under every protocol that these clips and this recipe allow."""
    return {
        protocol.name: protocol.measure(evaluation, recipe, config)
        for protocol in protocols.PROTOCOLS
        if protocol.possible(evaluation, recipe)
    }


def best_single(like: Recipe) -> Recipe:
    """The recipe of the best single detector, with which every ensemble is compared; standardised in the same way."""
    return Recipe("best_single", "best", by=like.by, standardise=like.standardise)


def metrics_of(
    evaluation: EvaluationSet,
    by_protocol: Mapping[str, Measurement],
    single: Mapping[str, Measurement],
    config: EnsembleConfig,
) -> tuple[Metrics, dict[str, Floats]]:
    """The metrics, and by protocol the gain over the best single detector in each draw of the bootstrap."""
    metrics: dict[str, Metric] = {}
    gains: dict[str, Floats] = {}
    for protocol, measurement in by_protocol.items():
        against = single.get(protocol) or single.get("crossval") or single["oracle"]
        own, theirs = (
            _values(evaluation, bootstrap.draws_of, scores, measurement.scorer, config)
            for scores in (measurement.scores, against.scores)
        )
        gains[protocol] = own - theirs
        cells = measurement.cells
        metrics[protocol] = Metric(
            measurement.value,
            _interval(evaluation, measurement, own, config),
            {name: value for name, value in cells.items() if "/" in name},
            cells["auc"],
            cells["pauc"],
            cells["hmean"],
            tuple(measurement.values.tolist()),
            protocols.find(protocol).sentence,
            _single(evaluation, against),
            _gain(measurement.value - against.value, gains[protocol], against),
        )
    both = "oracle" in metrics and "crossval" in metrics
    return Metrics(metrics, metrics["oracle"].value - metrics["crossval"].value if both else None), gains


def _interval(
    evaluation: EvaluationSet, measurement: Measurement, resampled: Floats, config: EnsembleConfig
) -> tuple[float, float]:
    if config.rules == 1:
        return bootstrap.interval(resampled)
    draws = _values(evaluation, bootstrap.unrecorded_draws, measurement.scores, measurement.scorer, config)
    return bootstrap.around(measurement.value, draws)


def _values(
    evaluation: EvaluationSet, draw: Draw, scores: Floats, scorer: CellScorer, config: EnsembleConfig
) -> Floats:
    """The values of the draws, kept with the evaluation: protocols share scores, recipes the best single candidate."""
    # The scorer is kept as well, so that its id stays its own.
    key = draw.__name__, id(scorer), config.draws, config.seed
    _, at = evaluation.remembered(key, lambda: (scorer, draw(scorer, config.draws, config.seed)))
    values: Floats = evaluation.remembered((*key, scores.tobytes()), lambda: bootstrap.values_of(scores, scorer, at))
    return values


def _single(evaluation: EvaluationSet, measurement: Measurement) -> Single:
    cells = measurement.cells
    name = evaluation.candidates.label(measurement.selections[0].members[0])
    return Single(
        measurement.value,
        measurement.protocol,
        cells["auc"],
        cells["pauc"],
        cells["hmean"],
        name if measurement.protocol == "oracle" else "",
    )


def _gain(value: float, resampled: Floats, against: Measurement) -> Gain:
    low, high = bootstrap.interval(resampled)
    return Gain(value, (low, high), bool(low > 0) and against.protocol != "oracle")
