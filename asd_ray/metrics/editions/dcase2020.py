"""DCASE 2020: several ids per machine, no domains, no decisions."""

from __future__ import annotations

import re

from asd_ray.metrics.editions._base import Edition
from asd_ray.metrics.editions.file_names import SCORE, ClipNames, SubmissionFiles
from asd_ray.metrics.editions.rules import PER_ID

_MIMII = ("fan", "pump", "slider", "valve")

DCASE2020 = Edition(
    year=2020,
    unit="id",
    development={
        **dict.fromkeys(_MIMII, ("00", "02", "04", "06")),
        "ToyCar": ("01", "02", "03", "04"),
        "ToyConveyor": ("01", "02", "03"),
    },
    evaluation={
        **dict.fromkeys(_MIMII, ("01", "03", "05")),
        "ToyCar": ("05", "06", "07"),
        "ToyConveyor": ("04", "05", "06"),
    },
    folders={"train": "train", "test": "test"},
    example="dev_data/fan/train/normal_id_00_00000000.wav",
    cells=PER_ID,
    definition=(
        "AUC and pAUC of each machine id and their arithmetic mean per machine; the evaluator prints no number over "
        "all machines, so the means over all ids are derived, not official"
    ),
    official_score=None,
    files=SubmissionFiles("{kind}_{machine}_id_{id}.csv", kinds=(SCORE,)),
    clips=ClipNames(re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<id>\d\d)_\d+\.wav"), "id_{id}_00000000.wav"),
    truth_folders=(),
)
