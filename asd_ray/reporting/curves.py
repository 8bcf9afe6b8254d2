"""The data of the charts of an ensemble's scores: ROC curves and histograms, by id and domain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ledger.schema import LABELS
from asd_ray.metrics import auc, pauc

Floats = npt.NDArray[np.float64]
BINS = (12, 30)  # the fewest and the most; of a cell's clips there are three times the square root
SHOWN = (0.5, 99.5)  # percentiles of the scores at which the axis ends, or earlier
MIDDLE = (5, 95)  # percentiles of normal clips that get a third of the axis


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


def score_range(clips: pd.DataFrame, scores: Floats, threshold: float) -> tuple[float, float]:
    """The scores between which the axis lies. Normal clips and the threshold fill at least a third of it.

    A few scores far away would otherwise squeeze all normal clips into one or two bars.
    """
    normal = scores[(clips["label"] == "normal").to_numpy()]
    low, high = np.percentile(normal if len(normal) else scores, MIDDLE)
    low, high = min(low, threshold), max(high, threshold)
    lowest, highest = np.percentile(scores, SHOWN)
    room = high - low
    low, high = max(min(lowest, low), low - room), min(max(highest, high), high + room)
    margin = 0.02 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def histograms(clips: pd.DataFrame, scores: Floats, threshold: float) -> dict[str, Any]:
    """Shares of each label's clips by score, for each id and domain.

    `below` and `above` are the shares of the clips whose scores lie beyond the axis; `beyond` tells whether any panel
    has some, because all panels have the same axis.
    """
    low, high = score_range(clips, scores, threshold)
    largest = int(clips.groupby(["id", "domain", "label"]).size().max())
    edges = np.linspace(low, high, round(min(max(3 * math.sqrt(largest), BINS[0]), BINS[1])) + 1)
    panels: list[dict[str, Any]] = []
    for name, domain, rows in cells(clips):
        labels, own = clips["label"].to_numpy()[rows], scores[rows]
        parts = {}
        for label in LABELS:
            values = own[labels == label]
            if len(values):
                shares = np.histogram(values, edges)[0] / len(values)
                parts[label] = {
                    "clips": len(values),
                    "shares": shares.round(5).tolist(),
                    "below": round(float((values < low).mean()), 5),
                    "above": round(float((values > high).mean()), 5),
                }
        panels.append({"id": name, "domain": domain, "labels": parts})
    beyond = {
        end: any(part[end] for panel in panels for part in panel["labels"].values()) for end in ("below", "above")
    }
    return {"edges": edges.tolist(), "beyond": beyond, "threshold": threshold, "panels": panels}


def cells(clips: pd.DataFrame) -> list[tuple[str, str, npt.NDArray[np.intp]]]:
    """Each id and domain with its rows of `clips`."""
    pairs = list(zip(clips["id"].astype(str), clips["domain"].astype(str), strict=True))
    return [(*pair, np.flatnonzero([each == pair for each in pairs])) for pair in sorted(set(pairs))]
