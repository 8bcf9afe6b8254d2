"""Weights of a mean by Optuna: its TPE sampler, from equal weights on. The one place here that imports optuna."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.greedy import Chosen
from asd_ray.ensembling.judge import DIGITS, Judge

SMALLEST = 0.02  # of the largest weight: a member below it is left out


def weighted(
    scores: npt.NDArray[np.float64], judge: Judge, members: Sequence[int], *, trials: int, seed: int
) -> Chosen:
    """Weights within [0, 1] of `members`, rows of `scores`; the best of `trials`, of which the first are equal."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # folds run in threads: there is no moment to set it back
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    names = [f"w{place}" for place in range(len(members))]
    study.enqueue_trial(dict.fromkeys(names, 1.0))
    chosen = scores[list(members)]

    def value(trial: optuna.Trial) -> float:
        weights = np.array([trial.suggest_float(name, 0.0, 1.0) for name in names])
        return float(judge((weights @ chosen)[None])[0].round(DIGITS)) if weights.any() else 0.0

    study.optimize(value, n_trials=trials)
    best = np.array([study.best_params[name] for name in names])
    best[best < SMALLEST * best.max()] = 0.0
    order = [int(at) for at in np.argsort(-best, kind="stable") if best[at] > 0]
    return Chosen(tuple(members[at] for at in order), tuple(float(best[at]) for at in order))
