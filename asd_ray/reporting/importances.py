"""Which parameters of a study decided: Optuna's evaluator, over trials as the ledger holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from asd_ray.ledger import TrialRecord

FEWEST = 10  # complete trials
TREES = 32  # a fifth of a second a study
LOG = 50.0  # the ratio of largest to smallest value from which a parameter is looked at in logarithms
EVALUATOR = f"mean decrease in impurity of a random forest of {TREES} trees (Optuna's evaluator)"


def importances(done: Sequence[TrialRecord]) -> tuple[dict[str, float], str]:
    """Parameter -> share of what they decide, largest first; or none, and why.

    The ranges are those of the values tried, for the space that drew them is not in the ledger.
    """
    import optuna

    common = set.intersection(*(set(record.params) for record in done))
    names = [name for name in done[0].params if name in common]
    ranges = {name: _range([record.params[name] for record in done]) for name in names}
    varied = {name: each for name, each in ranges.items() if each is not None}
    values = {record.objective for record in done}
    if not varied or len(values) < 2:
        return {}, "left out: " + ("all trials reached the same value" if varied else "no parameter was varied")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for record in done:
        params = {name: _told(record.params[name], each) for name, each in varied.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=varied, value=record.objective))
    judge = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(n_trees=TREES, seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: float(share) for name, share in found.items()}, ""


def _range(values: Sequence[Any]) -> Any:
    """The distribution that the values of a parameter may come from; None for one value only."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if len({json.dumps(value) for value in values}) < 2:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(sorted({json.dumps(value) for value in values}))
    low, high = float(min(values)), float(max(values))
    return FloatDistribution(low, high, log=low > 0 and high / low >= LOG and math.isfinite(high))


def _told(value: Any, distribution: Any) -> Any:
    from optuna.distributions import CategoricalDistribution

    return json.dumps(value) if isinstance(distribution, CategoricalDistribution) else float(value)
