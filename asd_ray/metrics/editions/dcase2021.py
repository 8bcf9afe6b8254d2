"""DCASE 2021: sections and domains; the domain of every clip is known, and each domain has files of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asd_ray.metrics.editions._base import DOMAINS, Edition, Entry
from asd_ray.metrics.editions.file_names import ClipNames, SubmissionFiles
from asd_ray.metrics.editions.rules import PER_DOMAIN
from asd_ray.metrics.means import hmean

_MACHINES = ("fan", "gearbox", "pump", "slider", "valve", "ToyCar", "ToyTrain")


def score(cells: Sequence[Entry]) -> float:
    return float(hmean([cell[f"{metric}_{d}"] for cell in cells for metric in ("auc", "pauc") for d in DOMAINS]))


def half_of_the_machines(machines: int, sections: int) -> int:
    return machines // 2


DCASE2021 = Edition(
    year=2021,
    unit="section",
    development=dict.fromkeys(_MACHINES, ("00", "01", "02")),
    evaluation=dict.fromkeys(_MACHINES, ("03", "04", "05")),
    folders={"train": "train", "source_test": "test", "target_test": "test"},
    example="dev_data/fan/source_test/section_00_source_test_normal_0000.wav",
    cells=PER_DOMAIN,
    definition=(
        "harmonic mean of all AUC and all pAUC over machines, sections and domains, each domain's normals against "
        "the same domain's anomalies"
    ),
    official_score=score,
    wrong_cut=half_of_the_machines,
    files=SubmissionFiles("{kind}_{machine}_section_{id}_{domain}_test.csv"),
    clips=ClipNames(
        re.compile(
            r"section_(?P<id>\d\d)_(?P<domain>source|target)_test_(?:(?P<label>normal|anomaly)_)?\d+(_.*)?\.wav"
        ),
        "section_{id}_{domain}_test_0000.wav",
    ),
    truth_folders=("ground_truth_data",),
)
