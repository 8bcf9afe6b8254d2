"""A small run and its bundle, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray import Bundle, Dataset, Run
from asd_ray.conformance.workspace import Workspace

SMALL = {
    "idnn": {"frames": 5, "hidden": 16, "lr": 1e-3, "batch_size": 64, "epochs": 2},
    "twfr_gmm": {"r": 1.0, "components": 1, "smote": False},
}


def make_normal_sound(folder: Path) -> Path:
    """A dataset of a fan with nothing but normal sound: sound/fan/unit_00/normal and unit_01/normal."""
    Workspace(folder).bank("plain")
    for clip in sorted((folder / "plain/dev_data/fan/train").glob("*.wav")):
        target = folder / "sound/fan" / f"unit_{clip.name.split('_')[1]}" / "normal" / clip.name[-14:]
        target.parent.mkdir(parents=True, exist_ok=True)
        clip.rename(target)
    return folder / "sound"


def space_file(folder: Path, family: str, params: dict[str, Any]) -> Path:
    """A search space whose paper's setting is small."""
    path = folder / f"{family}.py"
    path.write_text(f"PAPER = {params!r}\n\n\ndef space(trial):\n    return {{}}\n")
    return path


@dataclass(frozen=True)
class SmallRun:
    """A run of two families on a fan with two ids, and the bundle of its ensemble of all variants."""

    data: Dataset
    run: Run
    folder: Path  # of the bundle

    @property
    def clips(self) -> list[Path]:
        return sorted((Path(self.data.root) / "dev_data" / "fan" / "test").glob("*.wav"))

    def load(self) -> Bundle:
        return Bundle.load(self.folder)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    folder = tmp_path_factory.mktemp("bundles")
    threads = torch.get_num_threads()
    Workspace(folder).bank("plain")
    data = Dataset(folder / "plain", cache=folder / "cache")
    run = Run(folder / "run")
    spaces = {family: space_file(folder, family, params) for family, params in SMALL.items()}
    run.search(data, "fan", families=list(SMALL), spaces=spaces, trials=1, serial=True, quiet=True)
    every = folder / "every.toml"
    every.write_text('select = "label_free"\nvariants = "all"\n')
    run.ensemble("fan", [str(every), "label_free", "best_single", "best_per_family"], percentile=80.0)
    run.bundle("fan", folder / "fan.bundle", recipe="every")
    torch.set_num_threads(threads)
    return SmallRun(data, run, folder / "fan.bundle")
