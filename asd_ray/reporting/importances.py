"""Which parameters of a study decided: Optuna's evaluator, over trials as the ledger holds them."""

from __future__ import annotations

from collections.abc import Sequence

from asd_ray.ledger import TrialRecord
from asd_ray.reporting.optuna_trials import as_trials

FEWEST = 10  # complete trials
TREES = 32  # a fifth of a second a study
EVALUATOR = f"mean decrease in impurity of a random forest of {TREES} trees (Optuna's evaluator)"


def importances(done: Sequence[TrialRecord]) -> tuple[dict[str, float], str]:
    """Parameter -> share of what they decide, largest first; or none, and why.

    Weighed are those that all trials have and that were varied.
    """
    import optuna

    if len({record.objective for record in done}) < 2:
        return {}, "left out: all trials reached the same value"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(as_trials(done))
    values = [trial.params for trial in study.trials]
    common = set.intersection(*map(set, values))
    varied = sorted(name for name in common if len({each[name] for each in values}) > 1)  # Optuna 5.0 wants them sorted
    if not varied:
        return {}, "left out: no parameter was varied"
    judge = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(n_trees=TREES, seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=judge, params=varied)
    return {name: float(share) for name, share in found.items()}, ""
