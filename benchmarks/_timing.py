"""Compare two functions in one process: run them alternately and take the median of the ratios of the pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Row = tuple[str, str, float, str]  # what, reference, ratio of speeds (above 1: asd_ray is faster), detail


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(
    ours: Callable[[], object],
    reference: Callable[[], object],
    rounds: int = 5,
    tidy: Callable[[], object] = lambda: None,
) -> tuple[float, float, float]:
    """(ratio, our seconds, the reference's seconds): medians over `rounds` pairs, after one unmeasured pair.

    `tidy` is called before each round, outside the measured time.
    """
    pairs = []
    for _ in range(rounds + 1):
        tidy()
        pairs.append((seconds(ours), seconds(reference)))
    ratio = statistics.median(theirs / mine for mine, theirs in pairs[1:])
    return ratio, *(statistics.median(side) for side in zip(*pairs[1:], strict=True))
