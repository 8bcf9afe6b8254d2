"""A bundle as a folder of ONNX files, and the program of the page that scores with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_ray import AsdRayError, Dataset, Progress, Resources, Run
from asd_ray.__main__ import main
from asd_ray.clips.demo import make_demo
from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.onnx.folder import export_bundle

PAGE = Path(__file__).parents[3] / "docs" / "onnx.md"
MODULE = """
import numpy as np
from asd_ray import PRESETS, Progress, Resources


class Level:
    RESOURCES = Resources()
    VERSION = 1

    def __init__(self, context):
        self.context = context

    @staticmethod
    def space(trial):
        return {}

    @property
    def front_end(self):
        return PRESETS["baseline"].at(self.context.rate)

    def fit(self, train):
        yield Progress(1, {"level": 0.0})

    def score(self, clips):
        return {"level": np.array([np.abs(clips.samples(i) / 32768.0).mean() for i in range(len(clips))])}

    def state(self):
        return {"fitted": True}

    def load(self, state):
        pass
"""
BOTH = 'select = "best_per_family"\ncombine = "mean"\n'


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Dataset, Path]:
    """A run with trials of two of our families and of a class of a user, whose module lies in the folder."""
    folder = tmp_path_factory.mktemp("onnx")
    (folder / "level_of_sound.py").write_text(MODULE)
    make_demo(folder / "demo", size="tiny", machines=["fan"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASD_RAY_CACHE", str(folder / "cache"))
        patch.syspath_prepend(str(folder))
        data, run = Dataset(folder / "demo"), Run(folder / "run")
        families = ["idnn", "twfr_gmm", "level_of_sound:Level"]
        run.search(data, "fan", families=families, trials=1, epochs_cap=1, serial=True, quiet=True)
    return run, data, folder


@pytest.fixture(scope="module")
def bundle_of(search: tuple[Run, Dataset, Path]) -> Callable[..., Path]:
    """``bundle_of("idnn", "twfr_gmm")``: the folder of a bundle of these families, combined by the mean."""
    run, _, folder = search

    def write(*families: str) -> Path:
        out = folder / f"{'_'.join(families)}.bundle"
        if not out.exists():
            recipe = folder / f"{'_'.join(families)}.toml"
            recipe.write_text(f"{BOTH}families = {json.dumps(families)}\n")
            run.ensemble("fan", recipe, final=True)
            run.bundle("fan", out)
        return out

    return write
