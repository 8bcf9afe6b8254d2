"""Weights of a mean by Optuna's TPE sampler, starting from equal weights. The only file here that imports optuna."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.cell_scorer import DIGITS, CellScorer
from asd_ray.ensembling.greedy import Selection

SMALLEST = 0.02  # share of the largest weight; a member below it is left out


def weighted(
    scores: npt.NDArray[np.float64], scorer: CellScorer, members: Sequence[int], *, trials: int, seed: int
) -> Selection:
    """Weights within [0, 1] of `members`, rows of `scores`: the best of `trials`. The first trial has equal weights."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # not set back, because folds run in threads
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    names = [f"w{place}" for place in range(len(members))]
    study.enqueue_trial(dict.fromkeys(names, 1.0))
    rows = scores[list(members)]

    def value(trial: optuna.Trial) -> float:
        weights = np.array([trial.suggest_float(name, 0.0, 1.0) for name in names])
        return float(scorer((weights @ rows)[None])[0].round(DIGITS)) if weights.any() else 0.0

    study.optimize(value, n_trials=trials)
    best = np.array([study.best_params[name] for name in names])
    best[best < SMALLEST * best.max()] = 0.0
    order = [int(at) for at in np.argsort(-best, kind="stable") if best[at] > 0]
    return Selection(tuple(members[at] for at in order), tuple(float(best[at]) for at in order))
