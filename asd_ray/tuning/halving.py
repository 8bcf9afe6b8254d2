"""Asynchronous successive halving (Li et al. 2020) as an Optuna pruner without a state of its own.

Optuna's SuccessiveHalvingPruner keeps its rungs in a storage's private attributes, which a study that is rebuilt from
the ledger does not have; here the rungs are read from the intermediate values of the study's trials.
"""

from __future__ import annotations

import math

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from asd_ray.tuning.spec import REDUCTION

AT_LEAST = 3  # values at a rung before any trial is stopped there


class Halving(BasePruner):
    """Stop a trial whose value at its latest rung is not among the best third of all values at that rung."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        share = rung_share(trial, step)
        values = [
            value
            for other in study.get_trials(deepcopy=False)
            for at, value in other.intermediate_values.items()
            if rung_share(other, at) == share and not math.isnan(value)
        ]
        if len(values) < AT_LEAST:
            return False
        kept = max(1, len(values) // REDUCTION)
        return trial.intermediate_values[step] < sorted(values, reverse=True)[kept - 1]


def rung_share(trial: FrozenTrial, step: int) -> int:
    """Which rung `step` is, counted from the end of training: trials may differ in their number of epochs."""
    epochs = trial.user_attrs.get("epochs") or step
    return round(math.log(max(1.0, epochs / step), REDUCTION))
