"""Rules for the numbers that users give, on the command line and from Python."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LARGEST_SEED = 2**32 - 1  # scikit-learn accepts no larger one


@dataclass(frozen=True)
class Rule:
    words: str  # after the name of the option or argument
    allows: Callable[[Any], bool]

    def problem(self, value: object) -> str:
        """What is wrong with a value, or ""."""
        return "" if self.allows(value) else f"{self.words} but got {value!r}"


def is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_amount(value: Any) -> bool:
    if not is_number(value) or not 0 <= value < math.inf:
        return False
    return bool(value == round(value, 4) if value <= 1 else value == int(value))  # Ray's smallest step is 0.0001


def _is_duration(value: Any) -> bool:
    return is_number(value) and 0 < value <= 1e9


COUNT = Rule("must be a whole number from 1", lambda value: is_whole(value) and value >= 1)
SEED = Rule(
    f"must be a whole number from 0 to {LARGEST_SEED}", lambda value: is_whole(value) and 0 <= value <= LARGEST_SEED
)
PORT = Rule("must be a whole number from 1 to 65535", lambda value: is_whole(value) and 1 <= value <= 65535)
SHARE = Rule("must be a number between 0 and 0.5", lambda value: is_number(value) and 0 <= value <= 0.5)
MOST = Rule("must be a number from 0 to 0.9", lambda value: is_number(value) and 0 <= value <= 0.9)
AMOUNT = Rule("must be a share up to 1 in steps of 0.0001, or a whole number,", _is_amount)  # of CPUs or GPUs
ABOVE_0 = Rule("must be above 0, because every trial computes,", lambda value: value > 0)
GIB = Rule("must be GiB from 0, such as 4,", lambda value: is_number(value) and 0 <= value < 1e6)
DURATION = Rule("must be above 0, in seconds or such as 30m,", _is_duration)
INFER_LIMIT = Rule("must be a time such as 50ms or 0.05s,", lambda value: is_number(value) and 0 < value <= 3600)
DURATION_TEXT = Rule("must be a number with s, m, h or d, such as 30m,", _is_duration)  # on the command line


def short_seconds_of(time: float | str | None) -> Any:
    """50ms -> 0.05, and 0.05s or 0.05 too. What is no such text is returned as it is."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|)", time) if isinstance(time, str) else None
    return float(match[1]) / (1000 if match[2] == "ms" else 1) if match else time


def seconds_of(duration: float | str | None) -> Any:
    """30m -> 1800. What is no such text is returned as it is."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", duration) if isinstance(duration, str) else None
    return float(match[1]) * UNITS[match[2]] if match else duration
