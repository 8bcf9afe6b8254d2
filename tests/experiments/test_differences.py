"""Which numbers can be compared with the published ones, by the test clips of a table that is made up."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from asd_ray.clips.scan import scan
from asd_ray.experiments import Conditions
from asd_ray.experiments.differences import LEAST, of_all, with_other_clips
from asd_ray.experiments.measuring import Measured
from asd_ray.papers import find

JIANG = find("jiang2023").table("1")  # ids 00, 01 and 02 of DCASE 2022


@pytest.mark.parametrize(
    ("counts", "year", "is_demo", "why"),
    [
        ((LEAST, LEAST, LEAST), 2022, False, ""),
        ((LEAST, LEAST, LEAST - 1), 2022, False, "fewer test clips than dcase2022, at most a part of it"),
        ((LEAST, LEAST, 0), 2022, False, "fan: the dataset lacks test clips of id 02"),
        ((LEAST, LEAST, LEAST), 2023, False, "the table is of dcase2022; this dataset is read as dcase2022"),
        ((LEAST, LEAST, LEAST), 2022, True, "the sound is the synthetic demo set"),
    ],
    ids=["the published set", "a part", "without an id", "another year", "the demo set"],
)
def test_numbers_can_be_compared_on_the_published_test_clips_alone(
    folder: Path, counts: tuple[int, ...], year: int, is_demo: bool, why: str
) -> None:
    clips = scan(folder, machines=["fan"])
    rows = clips.frame[clips.frame["split"] == "test"].iloc[:1]
    frame = pd.concat([rows.assign(id=f"{id:02d}") for id, count in enumerate(counts) for _ in range(count)])
    clips = dataclasses.replace(clips.with_frame(frame.reset_index(drop=True)), year=year)
    assert with_other_clips(JIANG, clips, is_demo) == ({"fan"} if why else set())
    results = {"fan": {0: Measured((50.0,), ("mse",), len(frame))}}
    notes = " ".join(of_all(JIANG, clips, [results], Conditions(year=year), is_demo))
    reasons = ("fewer test clips", "lacks test clips", "cannot be compared")
    assert any(reason in notes for reason in reasons) == bool(why)
    assert why in notes
