"""A tiny run with states of the three families that figures show, on a fan whose clips last 2 s."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray import Dataset, Run
from asd_ray.clips.demo import make_demo

SMALL: dict[str, dict[str, Any]] = {
    "aegan_ad": {"channels": 2, "latent": 4, "hop": 64, "batch_size": 8, "epochs": 1},
    "complex_net": {"width_factor": 0.05, "head_channels": 2, "frames": 20, "batch_size": 8, "epochs": 1},
    "stgram": {"head": "softmax", "net": "mobilefacenet_2023", "seconds": 0.5, "batch_size": 8, "epochs": 1},
}


@dataclass(frozen=True)
class SmallRun:
    data: Dataset
    run: Run

    @property
    def words(self) -> list[str]:
        """The options of the command line."""
        return ["--data", str(self.data.root), "--run", self.run.layout.root, "--cache", str(self.data.cache)]


def search(small: SmallRun, family: str, folder: Path, trials: int = 1, **params: Any) -> None:
    """Train trials at a small setting, up to so many in the run, and keep their states."""
    space = folder / f"{family}.py"
    space.write_text(f"PAPER = {dict(SMALL[family], **params)!r}\n\n\ndef space(trial):\n    return {{}}\n")
    spaces = {family: space}
    small.run.search(small.data, "fan", families=family, spaces=spaces, trials=trials, serial=True, quiet=True)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    folder = tmp_path_factory.mktemp("figures")
    make_demo(folder / "demo", size="tiny", machines=["fan"])
    made = SmallRun(Dataset(folder / "demo", cache=folder / "cache"), Run(folder / "run"))
    threads = torch.get_num_threads()
    search(made, "aegan_ad", folder)
    search(made, "complex_net", folder)
    search(made, "stgram", folder, inputs="sgram")
    search(made, "stgram", folder, trials=2, inputs="tgram")
    torch.set_num_threads(threads)
    return made
