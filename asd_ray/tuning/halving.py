"""Asynchronous successive halving (Li et al. 2020) as an Optuna pruner that keeps no state.

Optuna's SuccessiveHalvingPruner keeps its rungs in private attributes of the storage, which a study rebuilt from the
ledger does not have. Here the rungs are read from the intermediate values of the study's trials.
"""

from __future__ import annotations

import math

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from asd_ray.tuning.spec import REDUCTION

MIN_VALUES = 3  # at a rung, before any trial is stopped there


class Halving(BasePruner):
    """Stop a trial whose value at its latest rung is not among the best third of all values at that rung."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        rung = rung_number(trial, step)
        values = [
            value
            for other in study.get_trials(deepcopy=False)
            for at, value in other.intermediate_values.items()
            if rung_number(other, at) == rung and not math.isnan(value)
        ]
        if len(values) < MIN_VALUES:
            return False
        going_on = max(1, len(values) // REDUCTION)
        return trial.intermediate_values[step] < sorted(values, reverse=True)[going_on - 1]


def rung_number(trial: FrozenTrial, step: int) -> int:
    """The number of a rung, counted from the end of training, because trials may differ in their number of epochs."""
    epochs = trial.user_attrs.get("epochs") or step
    return round(math.log(max(1.0, epochs / step), REDUCTION))
