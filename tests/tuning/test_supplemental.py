"""A search draws the uses of supplemental clips where a machine has some, and only there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray.errors import AsdRayError

from .searches import loud_set

PROGRAM = """
import json, sys
from asd_ray import Run
with_clips, without, runs = sys.argv[1:]
found = {}
for name, data in (("with", with_clips), ("without", without)):
    run = Run(f"{runs}/{name}")
    run.search(data, "fan", families=["twfr_gmm"], trials=8, seed=1, serial=True, quiet=True)
    records = run.ledger.records("fan")
    found[name] = [(r.trial, r.status, r.params) for r in sorted(records, key=lambda r: r.number)]
print(json.dumps(found))
"""


def with_supplemental(root: Path) -> Path:
    loud_set(root)
    for n, kind in enumerate(("machine", "noise", "noise")):
        path = root / "fan" / "supplemental" / f"section_00_{kind}_{n:04d}_.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(n).normal(0, 0.05, 8_000), 16_000)
    return root


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("searches")
    paths = [with_supplemental(folder / "dcase2025"), loud_set(folder / "plain"), folder / "runs"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return read


def test_it_is_searched_where_there_are_such_clips(found: dict[str, list[Any]]) -> None:
    factors = {params.get("subtract_noise", 0.0) for _, _, params in found["with"]}
    assert {status for _, status, _ in found["with"]} == {"complete"}
    assert len(factors) > 1
    assert "subtract_noise" not in found["with"][0][2]  # the paper's setting


def test_it_is_not_searched_elsewhere_and_no_trial_is_twice_the_same(found: dict[str, list[Any]]) -> None:
    assert {status for _, status, _ in found["without"]} == {"complete"}
    assert not any("subtract_noise" in params for _, _, params in found["without"])
    assert len({trial for trial, _, _ in found["without"]}) == len(found["without"]) == 8


def test_asking_for_it_where_there_are_none_is_answered_before_the_search(tmp_path: Path) -> None:
    from asd_ray import Run

    loud_set(tmp_path / "plain")
    with pytest.raises(AsdRayError, match="subtract_noise = 1.0 needs supplemental clips of noise"):
        Run(tmp_path / "run").search(
            tmp_path / "plain",
            "fan",
            families=["twfr_gmm"],
            fixed_params={"subtract_noise": 1.0},
            trials=1,
            serial=True,
        )
