"""Count the decisions of an ensemble under the protocol of its headline number.

Where that is measured on folds, each clip is decided by the members that were chosen without it, at the threshold that
normal clips give for these members. So the counts stand on the same ground as the number beside them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.deciding import ensemble_threshold
from asd_ray.ensembling.evaluation_set import scores_among_test_clips
from asd_ray.ensembling.protocols import Measurement


def counts_of(measurement: Measurement, config: EnsembleConfig, threshold: float) -> DecisionCounts:
    """Count the decisions of a measurement, of its first repeat. `threshold` is that of the ensemble as it is used."""
    labels = measurement.scorer.clips["label"].to_numpy().astype(str)
    if measurement.parts:
        return DecisionCounts.of(measurement.protocol, labels, _alarms(measurement, config))
    return DecisionCounts.of(measurement.protocol, labels, measurement.scores[0] > threshold)


def _alarms(measurement: Measurement, config: EnsembleConfig) -> npt.NDArray[np.bool_]:
    alarms = np.zeros(len(measurement.scorer.clips), bool)
    for part in measurement.parts:
        rows, weights = list(part.selection.members), list(part.selection.weights)
        members, statistics = part.evaluation.candidates.take(rows), part.evaluation.statistics.take(rows)
        limit = ensemble_threshold(members, part.recipe, config, weights, statistics)
        scores = scores_among_test_clips(part.evaluation, part.recipe, part.selection)
        alarms[part.clips] = scores[part.clips] > limit.value
    return alarms
