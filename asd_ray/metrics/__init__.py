"""Evaluation: AUC, pAUC and their means, and the official score of each DCASE year."""

from asd_ray.metrics.cells import Cells, cells_batch, objective
from asd_ray.metrics.curve import MAX_FPR, auc, auc_batch, mauc, pauc, pauc_batch
from asd_ray.metrics.decisions import Detection, detection, f1
from asd_ray.metrics.editions import EDITIONS, Edition
from asd_ray.metrics.evaluable import EvaluableClips, can_evaluate, evaluable_clips
from asd_ray.metrics.false_alarms import FalseAlarmRate
from asd_ray.metrics.ground_truth import read_truth
from asd_ray.metrics.jackknife import Jackknife, jackknife
from asd_ray.metrics.means import hmean
from asd_ray.metrics.official import Official, official_score
from asd_ray.metrics.submission_files import Submission, match, read_submission

__all__ = [
    "EDITIONS",
    "MAX_FPR",
    "Cells",
    "Detection",
    "Edition",
    "EvaluableClips",
    "FalseAlarmRate",
    "Jackknife",
    "Official",
    "Submission",
    "auc",
    "auc_batch",
    "cells_batch",
    "detection",
    "can_evaluate",
    "evaluable_clips",
    "f1",
    "hmean",
    "jackknife",
    "match",
    "mauc",
    "objective",
    "official_score",
    "pauc",
    "pauc_batch",
    "read_submission",
    "read_truth",
]
