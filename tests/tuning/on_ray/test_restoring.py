"""A bundle whose members the search did not keep: they are trained again on a real Ray, from the command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asd_ray import Bundle

from ...deploy.conftest import SmallRun, small

__all__ = ["small"]


def test_members_without_states_are_trained_again_on_ray(small: SmallRun, tmp_path: Path) -> None:
    shutil.copytree(small.run.layout.root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "states")
    words = ["fan", "--run", "run", "--recipe", "every", "--data", str(small.data.root)]
    done = subprocess.run(
        [sys.executable, "-m", "asd_ray.bundle", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {line for line in done.stdout.splitlines() if line.startswith("trained again: ")} == {
        "trained again: fan-idnn-0000",
        "trained again: fan-twfr_gmm-0000",
    }
    again, kept = Bundle.load(tmp_path / "fan.bundle"), small.load()
    for clip in small.clips[:4]:
        assert again.score(clip, id="00").score == pytest.approx(kept.score(clip, id="00").score, rel=1e-4, abs=1e-4)


def test_what_no_node_has_is_an_error_and_not_a_wait(small: SmallRun, tmp_path: Path) -> None:
    """A class that asks for more CPUs than there are, which a search with --cpus-per-trial 1 could run."""
    code = f"""
import shutil, sys
from asd_ray import Dataset, Resources, Run
from asd_ray.detectors.families.twfr_gmm import TwfrGmm

class Greedy(TwfrGmm):
    RESOURCES = Resources(cpu=512)
    VERSION = 1
    space = staticmethod(lambda trial: {{}})
    PAPER = {{"r": 1.0, "components": 1, "smote": False}}

if __name__ == "__main__":
    run = Run("run")
    data = Dataset({str(small.data.root)!r}, cache="cache")
    run.search(data, "fan", families=Greedy, trials=1, serial=True, quiet=True, keep_states="none", cpus_per_trial=1)
    run.ensemble("fan", "best_single")
    run.bundle("fan", data=data, families=[Greedy])
"""
    (tmp_path / "greedy.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "greedy.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 1
    assert "asks for 512 CPU, 0 GPU, but no node of this Ray has that" in done.stderr
