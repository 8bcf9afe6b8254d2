"""A folder with nothing but normal sound, from the command line and on a real Ray, up to scores of new sound."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from asd_ray import Dataset, Run

from ...deploy.conftest import SMALL, make_normal_sound, space_file


def asd_ray(folder: Path, *words: object) -> str:
    command = [sys.executable, "-m", "asd_ray", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ray_and_one_process_give_the_same_from_the_search_to_the_bundle(tmp_path: Path) -> None:
    sound = make_normal_sound(tmp_path)
    spaces = {family: space_file(tmp_path, family, params) for family, params in SMALL.items()}
    words = ["search", "fan", "--data", "sound", "--cache", "cache", "--run", "run", "--families", ",".join(SMALL)]
    words += [word for family, path in spaces.items() for word in ("--space", f"{family}={path}")]
    asd_ray(tmp_path, *words, "--trials", 1, "--held-out", 0.4, "--no-dashboard", "--cpus", 2)
    alone = Run(tmp_path / "alone")
    data = Dataset(sound, cache=tmp_path / "cache")
    alone.search(data, "fan", families=list(SMALL), spaces=spaces, trials=1, held_out=0.4, serial=True, quiet=True)
    on_ray = {record.family: record for record in Run(tmp_path / "run").records("fan")}
    for record in alone.records("fan"):
        other = on_ray[record.family]
        assert (other.settings, other.trial) == (record.settings, record.trial)
        assert other.settings is not None
        assert other.settings.objective == "normal-only"
        np.testing.assert_allclose(other.objective, record.objective, atol=1e-6)
    said = asd_ray(tmp_path, "ensemble", "fan", "--run", "run")
    assert "not measured: there are no anomalies" in said
    assert alone.ensemble("fan").name == Run(tmp_path / "run").ensembles("fan")["fan"]["final"].name
    asd_ray(tmp_path, "report", "--run", "run")
    asd_ray(tmp_path, "bundle", "fan", "--run", "run")
    clip = next((sound / "fan/unit_00/normal").glob("*.wav"))
    assert "normal" in asd_ray(tmp_path, "score", "fan.bundle", clip, "--id", "00")
