"""How fast many candidates are scored at once, against a loop over scikit-learn's roc_auc_score."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from asd_ray.metrics import MAX_FPR, auc_batch, pauc_batch

CANDIDATES, CLIPS = 2000, 1200
LOOPED = 100  # candidates of the scikit-learn loop; its time is scaled to all of them
ROUNDS = 5


def run() -> Iterator[tuple[str, str, float, str]]:
    """(what, reference, our speed / the reference's, detail): the median over pairs timed in turn."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(CLIPS) % 2)
    smooth = (rng.normal(size=(CANDIDATES, CLIPS)) + labels).astype(np.float32)
    tied = smooth.round(1).astype(np.float64)
    size = f"of {CANDIDATES:,} candidates x {CLIPS:,} clips"
    yield _compare(f"AUC {size}", labels, smooth, auc_batch, {})
    yield _compare(f"pAUC {size}", labels, smooth, pauc_batch, {"max_fpr": MAX_FPR})
    yield _compare(f"AUC {size}, scores of one decimal", labels, tied, auc_batch, {})


def _compare(
    what: str, labels: Any, scores: Any, ours: Callable[..., Any], options: dict[str, float]
) -> tuple[str, str, float, str]:
    """Time ours and the reference in turn; both must agree."""
    spent: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        areas = ours(labels, scores)
        between = time.perf_counter()
        looped = [roc_auc_score(labels, row, **options) for row in scores[:LOOPED]]
        spent.append((between - started, (time.perf_counter() - between) * len(scores) / LOOPED))
        np.testing.assert_allclose(areas[:LOOPED], looped, rtol=0, atol=1e-12)
    ratio = statistics.median(reference / our for our, reference in spent)
    our, reference = (statistics.median(times) for times in zip(*spent, strict=True))
    detail = f"{our * 1e3:.0f} ms against {reference * 1e3:.0f} ms ({LOOPED} of {len(scores):,} looped, scaled)"
    return what, "scikit-learn loop", ratio, detail


if __name__ == "__main__":
    for what, reference, ratio, detail in run():
        print(f"{what}: {ratio:.0f} x {reference}, {detail}")
