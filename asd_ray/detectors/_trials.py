"""Stand-ins for optuna's trials, which detectors/ must not import: enough to try a search space without a search."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any


class DrawingTrial:
    """Draws as an optuna trial does, which detectors/ must not import, and refuses what optuna refuses."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.asked: dict[str, Any] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert low <= high, f"{name}: low {low} is above high {high}"
        assert not (log and (step is not None or low <= 0)), f"{name}: log needs low above 0 and no step"
        return float(self._value(name, float(low), float(high), step, log))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        assert low <= high, f"{name}: low {low} is above high {high}"
        assert not (log and (step != 1 or low < 1)), f"{name}: log needs low from 1 and a step of 1"
        return round(self._value(name, low, high, step, log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        assert len(choices) > 0, f"{name}: no choices"
        assert all(map(is_scalar, choices)), f"{name}: choices must be numbers, text, bool or None: {choices}"
        return self._keep(name, self._choice(name, choices))

    def _value(self, name: str, low: float, high: float, step: float | None, log: bool) -> float:
        return float(self._keep(name, self._number(name, low, high, step, log)))

    def _keep(self, name: str, value: Any) -> Any:
        assert self.asked.setdefault(name, value) == value, f"{name} is drawn twice; a trial has one value of a name"
        return value

    def _number(self, name: str, low: float, high: float, step: float | None, log: bool) -> float:
        if log:
            return min(high, max(low, math.exp(self._random.uniform(math.log(low), math.log(high)))))
        if step is None:
            return self._random.uniform(low, high)
        return low + step * self._random.randint(0, math.floor((high - low) / step + 1e-8))

    def _choice(self, name: str, choices: Sequence[Any]) -> Any:
        return self._random.choice(choices)


class FixedTrial(DrawingTrial):
    """Gives the values of `PAPER`, and refuses those outside the ranges asked for."""

    def __init__(self, paper: dict[str, Any]) -> None:
        super().__init__(0)
        self._paper = paper

    def _number(self, name: str, low: float, high: float, step: float | None, log: bool) -> float:
        value = float(self._fixed(name))
        assert low <= value <= high, f"PAPER[{name!r}] = {value:g} lies outside the range {low:g} … {high:g} of space()"
        steps = 0.0 if step is None else (value - low) / step
        assert abs(steps - round(steps)) < 1e-8, f"PAPER[{name!r}] = {value:g} is no step of {step} from {low:g}"
        return value

    def _choice(self, name: str, choices: Sequence[Any]) -> Any:
        assert self._fixed(name) in choices, f"PAPER[{name!r}] = {self._fixed(name)!r} is none of {choices} of space()"
        return self._fixed(name)

    def _fixed(self, name: str) -> Any:
        assert name in self._paper, f"space() asks for {name}, which is not in PAPER"
        return self._paper[name]


def is_scalar(value: Any) -> bool:
    """What a parameter may be: a value that JSON gives back as it was."""
    return value is None or (isinstance(value, bool | int | float | str) and json.loads(json.dumps(value)) == value)
