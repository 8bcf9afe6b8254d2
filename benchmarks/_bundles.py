"""A bundle and recordings for the benchmarks of scoring. BENCH_BUNDLE=fan.bundle uses a bundle of your own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from asd_ray import Dataset, Run

FAMILIES = ["autoencoder", "idnn", "twfr_gmm"]
RATE = 16_000


def bundle_in(folder: Path) -> Path:
    """A bundle of your own, or one that is made: an autoencoder, an IDNN and a TWFR-GMM of the demo fan."""
    if own := os.environ.get("BENCH_BUNDLE"):
        return Path(own)
    run = Run(folder / "run")
    run.search(Dataset.demo("fan"), "fan", families=FAMILIES, trials=1, epochs_cap=2, serial=True, quiet=True)
    run.ensemble("fan", "label_free")
    run.bundle("fan", folder / "fan.bundle")
    return folder / "fan.bundle"


def recordings(folder: Path, count: int, length: float) -> list[Path]:
    """So many wav files of noise, each of `length` seconds."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(count):
        soundfile.write(folder / f"{number:05d}.wav", draw.normal(0, 0.05, round(length * RATE)), RATE)
    return sorted(folder.iterdir())
