"""Numbers as people read them: few digits, and no exponent unless the number is tiny or huge."""

from __future__ import annotations

import math
from collections.abc import Sequence

DIGITS = 4  # significant ones
SMALLEST, LARGEST = 1e-4, 1e6  # beyond them a number has an exponent


def short(value: float) -> str:
    """``0.0012346`` -> ``0.001235``, ``12345.6`` -> ``12346``, ``1.2345678e-05`` -> ``1.23e-05``."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value and not SMALLEST <= abs(value) < LARGEST:
        return f"{value:.3g}"
    return f"{value:.0f}" if abs(value) >= 10**DIGITS - 0.5 else f"{value:.{DIGITS}g}"


def count(many: int, noun: str, plural: str = "") -> str:
    """``1 fault``, ``1,200 faults``; a plural that is not the noun with an s is named."""
    return f"{many:,} {noun if many == 1 else plural or noun + 's'}"


def aligned(values: Sequence[float]) -> list[str]:
    """Numbers of one kind with the same number of decimals; the largest has four significant digits."""
    largest = max((abs(value) for value in values), default=0.0)
    if not math.isfinite(largest) or (largest and not SMALLEST <= largest < LARGEST):
        return [f"{value:.3g}" for value in values]
    decimals = DIGITS - 1 - math.floor(math.log10(largest)) if largest else DIGITS - 1
    return [f"{value:.{max(0, decimals)}f}" for value in values]
