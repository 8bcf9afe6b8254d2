"""The demo set with supplemental clips."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asd_ray.clips.demo import make_demo
from asd_ray.clips.demo._job import MARKER
from asd_ray.clips.demo.machines import IDS, MACHINES, record
from asd_ray.clips.demo.plan import SIZES
from asd_ray.clips.demo.sound import HEALTHY, RATE, rms
from asd_ray.clips.scan import scan
from asd_ray.clips.table import supplemental_kinds
from asd_ray.errors import AsdRayError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_supplemental_clips_are_added_to_the_same_set(tmp_path: Path) -> None:
    valve = make_demo(tmp_path / "valve", size="tiny", machines=["valve"], seconds=1.0)
    folder = make_demo(tmp_path / "more", size="tiny", machines=["valve"], seconds=1.0, supplemental=True)
    assert make_demo(folder, size="tiny", machines=["valve"], seconds=1.0, supplemental=True) == folder
    without, with_them = contents(valve), contents(folder)
    assert {name: with_them[name] for name in without if name != MARKER} == {
        name: content for name, content in without.items() if name != MARKER
    }
    added = [content for name, content in with_them.items() if "/supplemental/" in name]
    assert len(set(added)) == len(with_them) - len(without) == 2 * IDS * SIZES["tiny"].supplemental
    with pytest.raises(AsdRayError, match="holds a demo set with other settings"):
        make_demo(folder, size="tiny", machines=["valve"], seconds=1.0)
    grown = make_demo(folder, size="tiny", machines=["fan"], seconds=1.0, supplemental=True, grow=True)
    assert {machine for machine in MACHINES if (grown / "dev_data" / machine).is_dir()} == {"valve", "fan"}

    table = scan(folder, cache=tmp_path / "cache")
    supplemental = table.frame[table.frame["split"] == "supplemental"]
    assert (table.layout, [p for p in table.problems if p.severity != "note"]) == ("dcase2022", [])
    assert Counter(
        zip(supplemental["machine"], supplemental_kinds(supplemental), supplemental["label"], strict=True)
    ) == {
        (machine, *kind): IDS * SIZES["tiny"].supplemental
        for machine in ("valve", "fan")
        for kind in (("machine", "normal"), ("noise", "unknown"))
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_a_clip_is_the_sum_of_its_machine_and_its_noise(machine: str) -> None:
    condition = MACHINES[machine].source[0]
    clean, noise, both = (
        record(MACHINES[machine], 1, condition, RATE, HEALTHY, np.random.default_rng(5), only=only).astype(int)
        for only in ("machine", "noise", "")
    )
    assert np.abs(clean + noise - both).max() <= 2
    assert min(rms(clean / 32768), rms(noise / 32768)) > 1e-3
