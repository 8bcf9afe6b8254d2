"""The data of the charts of an ensemble's scores: ROC curves and histograms, by id and domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.metrics import auc, pauc

Floats = npt.NDArray[np.float64]
BINS = 24
SHOWN = (0.5, 99.5)  # percentiles of the scores at which the axis ends


def roc_curves(clips: pd.DataFrame, scores: Floats) -> list[dict[str, Any]]:
    """One curve for each id with both labels, over all its domains."""
    curves = []
    for name in sorted(set(clips["id"])):
        here = (clips["id"] == name).to_numpy()
        anomaly, own = (clips["label"][here] == "anomaly").to_numpy(), scores[here]
        x, y = corners(anomaly, own)
        curves.append({"id": name, "auc": auc(anomaly, own), "pauc": pauc(anomaly, own), "fpr": x, "tpr": y})
    return curves


def corners(anomaly: npt.NDArray[np.bool_], scores: Floats) -> tuple[list[float], list[float]]:
    """False and true positive rates of the curve's corners; clips of equal score make one straight line."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = np.r_[0, np.cumsum(anomaly[order])[ends]]
    alarms = np.r_[0, np.cumsum(~anomaly[order])[ends]]
    turn = np.diff(alarms)[:-1] * np.diff(hits)[1:] != np.diff(alarms)[1:] * np.diff(hits)[:-1]
    corner = np.r_[True, turn, True]
    return (alarms[corner] / alarms[-1]).tolist(), (hits[corner] / hits[-1]).tolist()


def histograms(clips: pd.DataFrame, scores: Floats, threshold: float) -> dict[str, Any]:
    """Shares of each label's clips by score, for each id and domain; scores beyond the axis are in the last bins."""
    low, high = np.percentile(scores, SHOWN)
    low, high = min(low, threshold), max(high, threshold)
    margin = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    panels = []
    groups = (clips["id"] + "/" + clips["domain"]).to_numpy().astype(str)
    for group in sorted(set(groups)):
        rows = np.flatnonzero(groups == group)
        name, _, domain = group.rpartition("/")
        labels, own = clips["label"].to_numpy()[rows], np.clip(scores[rows], edges[0], edges[-1])
        parts = {}
        for label in ("normal", "anomaly", "unknown"):
            values = own[labels == label]
            if len(values):
                shares = np.histogram(values, edges)[0] / len(values)
                parts[label] = {"clips": len(values), "shares": shares.round(5).tolist()}
        panels.append({"id": name, "domain": domain, "labels": parts})
    return {"edges": edges.tolist(), "threshold": threshold, "panels": panels}
