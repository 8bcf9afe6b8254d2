"""A row on recorded sound: a part of DCASE 2023, where it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray import Dataset, Run
from asd_ray.papers import find

PART = Path(__file__).parents[2] / "../shared/realdata/dcase2023_part"


@pytest.mark.skipif(not PART.is_dir(), reason="the part of DCASE 2023 is not here")
def test_a_row_is_trained_and_measured_on_recorded_sound(tmp_path: Path) -> None:
    data, run = Dataset(PART, cache=tmp_path / "cache"), Run(tmp_path / "run")
    result = run.paper("liu2022", "2", data, "ToyCar", rows="IDNN", epochs_cap=1, serial=True, quiet=True)
    [record] = run.records()
    assert (record.family, record.machine, record.status) == ("idnn", "ToyCar", "complete")
    for at, measure in enumerate(find("liu2022").table("2").measures):
        number = result.number("IDNN", "ToyCar", measure.name)
        assert 0 < number.ours[0] < 100
        assert number.published == find("liu2022").table("2").row("IDNN").values["ToyCar"][at]
    assert any("the table is of dcase2020; this dataset is read as dcase2023" in note for note in result.notes)
    assert "test clips that ours are of: ToyCar 40" in result.notes
