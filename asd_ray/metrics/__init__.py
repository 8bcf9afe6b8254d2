"""What is judged: AUC, pAUC and their means, and the official score of each DCASE year."""

from asd_ray.metrics.cells import Cells, cells_batch, objective
from asd_ray.metrics.curve import MAX_FPR, auc, auc_batch, mauc, pauc, pauc_batch
from asd_ray.metrics.decisions import Detection, detection, f1
from asd_ray.metrics.jackknife import Jackknife, jackknife
from asd_ray.metrics.judging import Judged, judged
from asd_ray.metrics.means import hmean
from asd_ray.metrics.official import Official, official_score
from asd_ray.metrics.submission import Submission, match, read_submission, read_truth
from asd_ray.metrics.years import DEFINITIONS, YEARS

__all__ = [
    "DEFINITIONS",
    "MAX_FPR",
    "YEARS",
    "Cells",
    "Detection",
    "Jackknife",
    "Judged",
    "Official",
    "Submission",
    "auc",
    "auc_batch",
    "cells_batch",
    "detection",
    "f1",
    "hmean",
    "jackknife",
    "judged",
    "match",
    "mauc",
    "objective",
    "official_score",
    "pauc",
    "pauc_batch",
    "read_submission",
    "read_truth",
]
