"""Rows that the authors trained on the development clips alone, on data that has the additional training clips, too."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray import Dataset, Run
from asd_ray.clips.table import ClipTable
from asd_ray.experiments import Conditions, PlannedRow, differences, plan_table
from asd_ray.families import family
from asd_ray.families.drawing import first_draw
from asd_ray.papers import find
from asd_ray.tuning.family_choice import spaces_by_family

AEGAN = find("jiang2023").table("1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of two machines, named as clips of DCASE 2022: 00 is of the development part, 03 of the additional one."""
    root, draw = tmp_path_factory.mktemp("training_ids") / "data", np.random.default_rng(0)
    for machine, id, domain in itertools.product(("fan", "ToyCar"), ("00", "03"), ("source", "target")):
        for split, label in (("train", "normal"), ("train", "normal"), ("test", "normal"), ("test", "anomaly")):
            own = root / "dev_data" / machine / split
            own.mkdir(parents=True, exist_ok=True)
            name = f"section_{id}_{domain}_{split}_{label}_{len(list(own.iterdir())):04d}_vel_1.wav"
            soundfile.write(own / name, draw.normal(0, 0.1, 16_000), 16_000, subtype="PCM_16")
    return root


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Dataset:
    return Dataset(folder, cache=tmp_path / "cache")


def with_training_ids(clips: ClipTable, ids: Sequence[str]) -> ClipTable:
    """The same clips, whose training clips are of these ids in turn."""
    frame = clips.frame.copy()
    train = frame["split"] == "train"
    frame.loc[train, "id"] = [ids[at % len(ids)] for at in range(train.sum())]
    return clips.with_frame(frame)


def planned(data: Dataset, clips: ClipTable, row: str) -> PlannedRow:
    (found,) = plan_table(AEGAN, clips, rate=data.rate, held_out=0.1, rows=[row]).planned
    return found


def named(found: PlannedRow) -> dict[str, str | None]:
    return {
        machine: training.params.get("train_ids")
        for machine in found.machines
        for own in found.trainings_of(machine)
        for training in own
    }


def additional(clips: ClipTable, found: PlannedRow, year: int) -> Iterator[str]:
    lines = differences.of_row(AEGAN, found, {}, clips.frame, Conditions(year=year))
    yield from (line for line in lines if "additional" in line)


LACKING = "the paper also trains on the additional training clips of fan; this dataset has none"
BEYOND = "here the additional training clips of fan, ToyCar are trained on, too; to leave them out, run these"


@pytest.mark.parametrize(
    ("row", "ids", "year", "expected", "lines"),
    [
        ("Ours", ("00", "01", "03"), 2022, {"fan": None, "ToyCar": "00,01"}, []),
        ("Ours", ("02", "00", "01", "04", "05"), 2022, {"fan": None, "ToyCar": "00,01,02"}, []),
        ("Ours", ("00", "01", "02"), 2022, {"fan": None, "ToyCar": None}, [LACKING]),
        ("Ours", ("00", "01", "03"), 2021, {"fan": None, "ToyCar": None}, []),
        ("Ours", ("03", "04"), 2022, {"fan": None, "ToyCar": None}, [BEYOND.replace("fan, ", "")]),
        ("Official-1", ("00", "03"), 2022, {"fan": None, "ToyCar": None}, [BEYOND]),
    ],
    ids=["both parts", "in any order", "the development part", "another year", "the other part", "another family"],
)
def test_machines_of_the_development_part_alone_are_trained_on_its_ids(
    data: Dataset, row: str, ids: tuple[str, ...], year: int, expected: dict[str, str | None], lines: list[str]
) -> None:
    clips = dataclasses.replace(with_training_ids(data.table, ids), year=year)
    found = planned(data, clips, row)
    assert named(found) == expected
    assert [line[: len(start)] for line, start in zip(additional(clips, found, year), lines, strict=True)] == lines


def test_the_other_settings_of_a_machine_stay(data: Dataset) -> None:
    clips = with_training_ids(data.table, ("00", "03"))
    (training,) = (each for own in planned(data, clips, "Ours").trainings_of("ToyCar") for each in own)
    assert training.params == {"first_norm": False, "beta1": 0.0, "train_ids": "00"}
    plain = family("aegan_ad").search_space().paper
    assert training.setting == {**plain, **training.params}


def test_a_trial_that_learned_from_all_clips_does_not_name_the_parameter() -> None:
    """So the trials of earlier versions, which did not have it, keep their hashes and count."""
    own = family("aegan_ad")
    for value, expected in (("", {}), ("00,01", {"train_ids": "00,01"})):
        (space,) = spaces_by_family((), [own], {"aegan_ad.train_ids": value}).values()
        assert first_draw(space).params == {**space.paper, **expected}
    space = own.search_space()
    assert "train_ids" not in space.paper
    assert "train_ids" not in first_draw(space).distributions


def test_a_run_on_both_parts_learns_from_the_development_clips_of_ToyCar(data: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    result = run.paper("jiang2023", "1", data, "ToyCar", rows="Ours", epochs_cap=1, serial=True, quiet=True)
    assert (data.table.year, result.failed) == (2022, ())
    [record] = run.records()
    assert (record.machine, record.status, record.params["train_ids"]) == ("ToyCar", "complete", "00")
    assert set(run.scores(record)["id"]) == {"00", "03"}, "clips of all ids are scored"
    assert result.number("Ours", "ToyCar", "hmean").ours
    assert not any("additional" in line for line in result.differs["Ours"])
    again = run.paper("jiang2023", "1", data, "ToyCar", rows="Ours", epochs_cap=1, serial=True, quiet=True)
    assert again.numbers == result.numbers
    assert run.records() == [record], "nothing is trained again"
