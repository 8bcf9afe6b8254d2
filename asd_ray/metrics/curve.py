"""The area under the ROC curve, whole (AUC) and up to a false positive rate (pAUC), as scikit-learn defines them.

Ties count one half. pAUC is the area up to `max_fpr`, the last segment cut by linear interpolation, in McClish's
scale: 0.5 for chance, 1 for a perfect detector, and below 0.5 for one that is worse than chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError
from asd_ray.metrics._pairs import ANOMALY, Floats, Ints, Pairs, chunks, count, matrix
from asd_ray.metrics.binary_labels import both_classes

MAX_FPR = 0.1  # in all DCASE years


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """sklearn's ``roc_auc_score(labels, scores)``; higher scores are more anomalous."""
    return float(auc_batch(labels, np.asarray(scores)[None])[0])


def pauc(labels: npt.ArrayLike, scores: npt.ArrayLike, max_fpr: float = MAX_FPR) -> float:
    """sklearn's ``roc_auc_score(labels, scores, max_fpr=max_fpr)``."""
    return float(pauc_batch(labels, np.asarray(scores)[None], max_fpr)[0])


def auc_batch(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """AUC of each row of `scores` [candidates, clips], all over the same clips: one number per candidate."""
    return _batch(labels, scores, 1.0)


def pauc_batch(labels: npt.ArrayLike, scores: npt.ArrayLike, max_fpr: float = MAX_FPR) -> Floats:
    """pAUC of each row of `scores` [candidates, clips]."""
    if not 0 < max_fpr <= 1:
        raise AsdRayError(f"max_fpr must be in (0, 1] but got {max_fpr}")
    return _batch(labels, scores, max_fpr)


def mauc(labels: npt.ArrayLike, scores: npt.ArrayLike, ids: npt.ArrayLike) -> float:
    """The smallest AUC over a machine's ids, the mAUC of the STgram papers."""
    label, score, id_of_clip = np.asarray(labels), np.asarray(scores), np.asarray(ids)
    return min(auc(label[id_of_clip == id], score[id_of_clip == id]) for id in np.unique(id_of_clip))


def auc_of(pairs: Pairs, group: int) -> Floats:
    """AUC of one group of normals against all anomalies."""
    below, upto = pairs.below[:, group], pairs.upto[:, group]
    wins = 2 * below.sum(axis=1) if upto is below else (below + upto).sum(axis=1)
    return np.asarray(wins / (2.0 * pairs.normals[group] * below.shape[1]))


def pauc_of(pairs: Pairs, max_fpr: float) -> Floats:
    """pAUC of all normals together against all anomalies."""
    normals = sum(pairs.normals)
    upto = pairs.upto.sum(axis=1)
    ties = None if pairs.upto is pairs.below else upto - pairs.below.sum(axis=1)
    return mcclish(areas(normals - upto, ties, max_fpr * normals).mean(axis=1) / normals, max_fpr)


def areas(above: Ints, ties: Ints | None, limit: float) -> Floats:
    """The part of each anomaly in the area under the curve left of `limit`; area and limit are in normal clips.

    An anomaly that `above` normals outscore raises the curve by one from there on. If `ties` normals have the
    anomaly's own score, the curve rises by this one in a straight line across them.
    """
    width = limit - above
    if ties is None:
        return np.asarray(np.maximum(width, 0.0))
    rising = np.clip(width, 0.0, ties)
    return np.asarray(np.maximum(width - ties, 0.0) + rising**2 / (2 * np.maximum(ties, 1)))


def mcclish(area: Floats, max_fpr: float) -> Floats:
    """The raw area up to `max_fpr` (at most `max_fpr`) in the scale where chance is 0.5 and perfect is 1."""
    chance = 0.5 * max_fpr**2
    return 0.5 * (1 + (area - chance) / (max_fpr - chance))


def _batch(labels: npt.ArrayLike, scores: npt.ArrayLike, max_fpr: float) -> Floats:
    label = both_classes(labels, "AUC" if max_fpr == 1 else "pAUC")
    group = label * np.int8(ANOMALY)
    candidates = matrix(scores, len(label))
    out = np.empty(len(candidates))
    for first, block in chunks(candidates):
        pairs = count(block, group)
        out[first : first + len(block)] = auc_of(pairs, 0) if max_fpr == 1 else pauc_of(pairs, max_fpr)
    return out
