"""Trials without Optuna, with which the conformance suite draws from search spaces."""

from __future__ import annotations

import pytest

from asd_ray.detectors._trials import DrawingTrial


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ("trial.suggest_float('power', 2.0, 1.0)", "power: low 2.0 is above high 1.0"),
        ("trial.suggest_float('power', 0.0, 1.0, log=True)", "log needs low above 0"),
        ("trial.suggest_int('epochs', 1, 9, step=2, log=True)", "log needs low from 1 and a step of 1"),
        ("trial.suggest_categorical('power', [])", "power: no choices"),
        ("trial.suggest_categorical('power', [[1], [2]])", "choices must be numbers, text"),
        ("[trial.suggest_float('power', i, i + 0.5) for i in (1, 2)]", "power is drawn twice"),
    ],
)
def test_what_optuna_would_reject_is_rejected(ask: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        eval(ask, {"trial": DrawingTrial(0)})


def test_draws_stay_in_their_ranges() -> None:
    for seed in range(200):
        trial = DrawingTrial(seed)
        assert 1e-5 <= trial.suggest_float("a", 1e-5, 1e-1, log=True) <= 1e-1
        assert trial.suggest_float("b", 0.0, 1.0, step=0.25) in (0, 0.25, 0.5, 0.75, 1)
        assert trial.suggest_int("c", 1, 8, step=3) in (1, 4, 7)
        assert 1 <= trial.suggest_int("d", 1, 64, log=True) <= 64
        assert trial.suggest_categorical("e", ["x", None]) in ("x", None)
        assert isinstance(trial.suggest_int("f", 0, 3), int)
