"""The importance of a study's parameters, by Optuna's evaluator over the trials of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from asd_ray.ledger import TrialRecord
from asd_ray.reporting.optuna_trials import as_trials

FEWEST = 10  # complete trials
TREES = 32  # these take a fifth of a second per study
EVALUATOR = (
    f"how much a parameter helps to predict the objective, by a random forest of {TREES} trees (Optuna's mean decrease "
    "in impurity)"
)


def importances(done: Sequence[TrialRecord]) -> tuple[dict[str, float], str]:
    """parameter -> its share of the importance, largest first; or no parameters, and the reason.

    Only parameters that all trials have and that were varied are weighed.
    """
    import optuna

    if len({record.objective for record in done}) < 2:
        return {}, "left out: all trials reached the same value"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(as_trials(done))
    values = [trial.params for trial in study.trials]
    common = set.intersection(*map(set, values))
    varied = sorted(
        name for name in common if len({params[name] for params in values}) > 1
    )  # Optuna 5.0 wants them sorted
    if not varied:
        return {}, "left out: no parameter was varied"
    evaluator = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(n_trees=TREES, seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    return {name: float(share) for name, share in shares.items()}, ""
