"""AUC and pAUC of many candidates at once, against a loop over scikit-learn's roc_auc_score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from asd_ray.metrics import MAX_FPR, auc_batch, pauc_batch
from benchmarks._timing import Row, compare

CANDIDATES, CLIPS = 2000, 1200
LOOPED = 100  # candidates in the scikit-learn loop; its time is scaled to all of them


def run() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(CLIPS) % 2)
    smooth = (rng.normal(size=(CANDIDATES, CLIPS)) + labels).astype(np.float32)
    tied = smooth.round(1).astype(np.float64)
    size = f"of {CANDIDATES:,} candidates × {CLIPS:,} clips"
    yield _row(f"AUC {size}", labels, smooth, auc_batch, {})
    yield _row(f"pAUC {size}", labels, smooth, pauc_batch, {"max_fpr": MAX_FPR})
    yield _row(f"AUC {size}, scores of one decimal", labels, tied, auc_batch, {})


def _row(what: str, labels: Any, scores: Any, ours: Callable[..., Any], options: dict[str, float]) -> Row:
    def loop() -> list[float]:
        return [roc_auc_score(labels, row, **options) for row in scores[:LOOPED]]

    np.testing.assert_allclose(ours(labels, scores)[:LOOPED], loop(), rtol=0, atol=1e-12)
    ratio, mine, theirs = compare(lambda: ours(labels, scores), loop)
    scale = len(scores) / LOOPED
    detail = f"{mine * 1e3:.0f} ms against {theirs * scale * 1e3:,.0f} ms ({LOOPED} of {len(scores):,} looped, scaled)"
    return what, "scikit-learn loop", ratio * scale, detail
