"""One row of every paper on recorded sound, if it is there: a few clips of ToyCar of DCASE 2023 or of a fan of MIMII.

The rows are the cheapest ones; `test_every_paper` also trains the nets that take longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray import Dataset, Run

from .rows import run_row
from .test_every_paper import ROWS as OF_DEMO

ROWS = {  # the paper -> table, row and machine
    "giri2020": ("1", "System 4", "ToyCar"),
    "kim2021": ("II", "Proposed / Magnitude / Deep encoder", "fan"),  # its machines are those of MIMII
    "liu2022": ("2", "IDNN", "ToyCar"),
    "cho2022": ("1", "ST-gram + MobileFaceNet", "ToyCar"),
    "jiang2023": ("1", "Official-1", "ToyCar"),
    "choi2024": ("README", "TASTgram, Noisy-ArcMix", "ToyCar"),
    "baseline2020": ("development", "Autoencoder", "ToyCar"),
    "baseline2024": ("evaluation", "Autoencoder, MSE", "ToyCar"),  # in the evaluation set of 2023 there is no ToyCar
}


@pytest.fixture(scope="module")
def folders(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Links to eight training and eight test clips of each machine."""
    root = tmp_path_factory.mktemp("real")
    toy_car = realdata / "dcase2023_part" / "dev_data" / "ToyCar"
    parts = {"ToyCar": [toy_car / "attributes_00.csv"], "fan": []}
    for domain in ("source", "target"):
        for split, label, count in (("train", "normal", 4), ("test", "normal", 2), ("test", "anomaly", 2)):
            found = sorted((toy_car / split).glob(f"section_00_{domain}_{split}_{label}_*"))
            parts["ToyCar"] += found[:: len(found) // count][:count]
    for id in ("id_00", "id_02"):
        fan = realdata / "mimii_minus6dB" / "fan" / id
        parts["fan"] += [*sorted((fan / "normal").iterdir())[:6], *sorted((fan / "abnormal").iterdir())[:2]]
    for machine, files in parts.items():
        for file in files:
            link = root / machine / file.relative_to(realdata)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return {"ToyCar": root / "ToyCar" / "dcase2023_part", "fan": root / "fan" / "mimii_minus6dB"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return {machine: Run(tmp_path_factory.mktemp("runs") / machine) for machine in ("ToyCar", "fan")}


def test_every_paper_with_a_row_on_the_demo_set_is_here() -> None:
    assert {*ROWS} ^ {*OF_DEMO} == {"baseline2023", "baseline2024"}


@pytest.mark.parametrize("key", ROWS)
def test_a_row_is_trained_and_measured_on_recorded_sound(
    key: str, folders: dict[str, Path], run: dict[str, Run], tmp_path: Path
) -> None:
    number, name, machine = ROWS[key]
    data = Dataset(folders[machine], cache=tmp_path / "cache")
    assert data.clips.groupby("split").size().to_dict() == {"test": 8, "train": 8}
    result = run_row(key, number, name, data, run[machine], {machine})
    assert f"test clips that ours are of: {machine} 8" in result.notes
