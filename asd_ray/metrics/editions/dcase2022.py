"""DCASE 2022: the domain of evaluation clips is hidden, and one file holds both domains of a section.

Later years are variations of this one, see `dcase2023.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from asd_ray.metrics.editions._base import Edition, Entry
from asd_ray.metrics.editions.file_names import ClipNames, SubmissionFiles
from asd_ray.metrics.editions.rules import PER_SECTION
from asd_ray.metrics.means import hmean

_MACHINES = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")
# The domain is in the names of development clips only, and it is not asked for in submissions.
_CLIP = re.compile(
    r"section_(?P<id>\d\d)_(?:(?:source|target)_)?(?:test_)?(?:(?P<label>normal|anomaly)_)?\d+(_.*)?\.wav"
)


def score(cells: Sequence[Entry]) -> float:
    return float(hmean([cell[name] for name in PER_SECTION.names for cell in cells]))


def half_of_the_sections(machines: int, sections: int) -> int:
    return sections // 2


def files(year: int) -> SubmissionFiles:
    export = f"{{kind}}_DCASE{year}T2{{machine}}_section_{{id}}_test_seed{{seed}}_Eval.csv"
    return SubmissionFiles("{kind}_{machine}_section_{id}_test.csv", export=export)


DCASE2022 = Edition(
    year=2022,
    unit="section",
    development=dict.fromkeys(_MACHINES, ("00", "01", "02")),
    evaluation=dict.fromkeys(_MACHINES, ("03", "04", "05")),
    # The later years' folders are accepted in all of these years: people add recordings of one year to another.
    folders={"train": "train", "train_r2": "train", "test": "test", "supplemental": "supplemental"},
    example="dev_data/fan/train/section_00_source_train_normal_0000_vel_21.wav",
    cells=PER_SECTION,
    definition=(
        "harmonic mean of AUC (source), AUC (target) and pAUC over machines and sections: a domain's normals against "
        "all anomalies of the section, pAUC over the whole section once"
    ),
    official_score=score,
    prints_interval=True,
    wrong_cut=half_of_the_sections,
    files=files(2022),
    clips=ClipNames(
        _CLIP,
        "section_{id}_0000.wav",  # of the lists and the ground truth; the README writes section_03_test_0000.wav
        misspelling=(r"^(section_\d\d)_test_", r"\1_"),
        accepts_misspelling=True,
    ),
    truth_folders=("ground_truth_data", "ground_truth_domain"),
)
