"""What the checks need: synthetic sound, and detectors with quick settings.

The sound is of two humming machines. Their anomalies have a loud foreign tone or knocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from asd_ray.clips.audio import ALL
from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors._base import Context, Detector
from asd_ray.families import Family, Space
from asd_ray.features import FeatureCache

RATE = 16_000
EPOCHS = 3  # of a family that trains in epochs


def fit_on(detector: Detector, bank: Bank) -> Detector:
    for _ in detector.fit(bank.select(split="train")):
        pass
    return detector


@dataclass
class Workspace:
    """The sound and the detectors of the checks. They are made on first use, and sound is kept below `folder`."""

    folder: Path
    seconds: float = 1.0  # length of a clip; more for a detector whose windows are longer
    device: str = "cpu"
    space: Path | None = None  # a search space other than the family's own
    rate: int = RATE  # Hz to which the clips are resampled; all are recorded at 16 kHz
    channels: int = 1  # that the clips have and the banks keep; the second one is far from the machine
    smaller: dict[str, Any] = field(default_factory=dict)  # parameters that make a large detector quick
    calm: dict[str, Any] = field(default_factory=dict)  # parameters with which training does not amplify rounding
    # how a detector learns for check_planted_anomalies; more than `fit` if the result of a few steps is random
    teach: Callable[[Detector, Bank], Detector] = fit_on
    _cached: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def context(self, seed: int = 0) -> Context:
        return Context(torch.device(self.device), seed, FeatureCache(self.folder / "cache"), self.rate)

    def bank(self, kind: str) -> Bank:
        """``plain``: 12 + 8 clips of two ids; ``ragged``: unequal lengths; ``planted``: 32 + 32, to learn from."""
        if ("bank", kind) not in self._cached:
            _record_machine(
                self.folder / kind,
                {"planted": (16, 8)}.get(kind, (6, 2)),
                self.seconds,
                kind == "ragged",
                self.channels,
            )
            cache = self.folder / "cache"
            channel = 0 if self.channels == 1 else ALL
            self._cached["bank", kind] = open_bank(
                self.folder / kind, rate=self.rate, channel=channel, cache=cache, workers=1
            )
        bank: Bank = self._cached["bank", kind]
        return bank

    def new(self, tested: Family, *, seed: int = 0, **quick: int) -> Detector:
        """A detector with the paper's setting, but few epochs. Unknown parameters in `quick` are ignored."""
        params = {"epochs": EPOCHS, **quick, **self.smaller}
        detector: Detector = tested.detector(
            self.context(seed), **{name: value for name, value in params.items() if name in tested.parameters}
        )
        return detector

    def fitted(self, tested: Family, kind: str = "plain") -> Detector:
        """A fitted detector, shared by the checks that only call `score`."""
        if (tested, kind) not in self._cached:
            self._cached[tested, kind] = fit_on(self.new(tested), self.bank(kind))
        detector: Detector = self._cached[tested, kind]
        return detector

    def search_space(self, tested: Family) -> Space:
        return tested.search_space(self.space)


def _record_machine(folder: Path, clips: tuple[int, int], seconds: float, ragged: bool, channels: int = 1) -> None:
    """Write clips with names of DCASE 2022: per id `clips[0]` to train on, and `clips[1]` of each label to test."""
    for i, id in enumerate(("00", "01")):
        draw = np.random.default_rng([i, *clips])
        kinds = [("train", "normal", clips[0]), ("test", "normal", clips[1]), ("test", "anomaly", clips[1])]
        for split, label, count in kinds:
            (folder / "dev_data" / "fan" / split).mkdir(parents=True, exist_ok=True)
            for n in range(count):
                domain = "target" if n % 4 == 3 or (label, n) == ("anomaly", 1) else "source"
                samples = round(RATE * seconds * (draw.uniform(1, 1.6) if ragged else 1))
                sound = _hum(draw, samples, 110.0 * (i + 2), ("", "tone", "knocks")[(n % 2 + 1) * (label == "anomaly")])
                if channels == 2:
                    sound = np.stack([sound, 0.25 * np.roll(sound, 100) + draw.normal(0, 0.01, samples)], axis=1)
                name = f"section_{id}_{domain}_{split}_{label}_{n:04d}_vel_1.wav"
                soundfile.write(folder / "dev_data" / "fan" / split / name, sound, RATE, subtype="PCM_16")


def _hum(draw: np.random.Generator, samples: int, hz: float, fault: str) -> npt.NDArray[np.float64]:
    """Partials of a slightly wandering speed over noise; with a fault, a tone or knocks as loud as the hum."""
    time = np.arange(samples) / RATE
    speed = hz * draw.uniform(0.98, 1.02)
    sound = draw.normal(0, 0.01, samples)
    for partial in range(1, 7):
        sound += 0.1 / partial * draw.uniform(0.8, 1.25) * np.sin(2 * np.pi * (speed * partial * time + draw.random()))
    if fault == "tone":
        sound += 0.2 * np.sin(2 * np.pi * draw.uniform(2500, 4500) * time)
    elif fault == "knocks":
        since = (time + draw.random()) % 0.2  # five a second
        sound += 0.5 * np.exp(-since / 0.01) * draw.normal(0, 1, samples)
    return np.clip(sound, -0.999, 0.999)
