"""One row of every paper, run on a few clips of the demo set for one epoch: the family trains, and is measured."""

from __future__ import annotations

import re

import pytest

from asd_ray import Dataset, Run
from asd_ray.clips.demo import make_demo
from asd_ray.papers import PAPERS, find

from .rows import run_row

ROWS = {  # the paper -> table and row; the cheapest rows that have the paper's own family
    "giri2020": ("1", "System 2, max"),
    "kim2021": ("II", "Proposed / Magnitude / Deep encoder"),
    "liu2022": ("3", "STgram-MFN(CEE)"),
    "cho2022": ("1", "ST-gram + MobileFaceNet"),
    "jiang2023": ("1", "Ours"),
    "choi2024": ("README", "TASTgram, Noisy-ArcMix"),
    "baseline2020": ("development", "Autoencoder"),
    "baseline2023": ("evaluation", "Autoencoder, MAHALA"),
}
KEPT = re.compile(r"section_0[01]_.*_(train_normal_000[0-5]|test_.*_000[01])_.*")  # 44 clips of a machine


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("every")
    make_demo(folder / "demo", size="tiny", machines=["fan", "valve"])
    for path in (folder / "demo").rglob("*.wav"):
        if not KEPT.fullmatch(path.name):
            path.unlink()
    return Dataset(folder / "demo", cache=folder / "cache")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("every") / "run")


def test_every_paper_with_a_row_that_can_be_run_is_here_or_has_the_baselines_of_another_year() -> None:
    others = {"baseline2021", "baseline2022", "baseline2024", "baseline2025"}  # these families are those of other rows
    assert {*ROWS, *others} == {*PAPERS}


@pytest.mark.parametrize("key", ROWS)
def test_a_row_is_trained_and_measured(key: str, data: Dataset, run: Run) -> None:
    number, name = ROWS[key]
    run_row(key, number, name, data, run, {"fan", "valve"} if find(key).table(number).row(name).jointly else {"fan"})
