"""A small scorer that is no mock: the level of a frequency band, compared with the levels of normal sound.

Benchmarks and tests of watching use it where a detector would only cost time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from asd_ray.deploy.result import ClipScore, Samples
from asd_ray.errors import AsdRayError

RATE = 4_000
SHORTEST = 400  # samples


@dataclass(frozen=True)
class BandScorer:
    """The score is the level in dB between `low` and `high` Hz. It needs 0.1 s, as a detector needs a few frames."""

    normal: npt.NDArray[np.float64]
    threshold: float
    low: float = 900.0
    high: float = 1100.0
    rate: int = RATE
    machine: str = "fan"
    ids: tuple[str, ...] = ("00",)
    warn_below: float = field(default=-np.inf)

    def normal_scores(self, id: str) -> npt.NDArray[np.float64]:
        return self.normal

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        return [self._score(wave, name) for wave, name in zip(waves, names, strict=True)]

    def _score(self, wave: Samples, name: str) -> ClipScore:
        if len(wave) < SHORTEST:
            raise AsdRayError(f"{name}: {len(wave) / self.rate:g} s is too short; 0.1 s are needed")
        score = band_level(wave, self.low, self.high, self.rate)
        return ClipScore(
            name=name,
            id="00",
            seconds=len(wave) / self.rate,
            score=score,
            share_below=float((self.normal < score).mean()),
            threshold=self.threshold,
            warnings=("it is silent",) if score < self.warn_below else (),
        )


def band_level(wave: Samples, low: float, high: float, rate: int = RATE) -> float:
    power = np.abs(np.fft.rfft(wave.astype(np.float64))) ** 2 / len(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / rate)
    return float(10 * np.log10(power[(hertz >= low) & (hertz <= high)].mean() + 1e-3))


def noise(seconds: float, seed: int = 0, rate: int = RATE, level: float = 500.0) -> Samples:
    return np.random.default_rng(seed).normal(0, level, round(seconds * rate)).astype(np.int16)


def tone(seconds: float, rate: int = RATE, level: float = 3000.0) -> Samples:
    return np.rint(level * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def fitted(clips: int = 200, window: float = 1.0, share: float = 0.99, rate: int = RATE) -> BandScorer:
    """A scorer whose threshold is exceeded by one percent of normal sound."""
    levels = [band_level(noise(window, seed, rate), 900, 1100, rate) for seed in range(1000, 1000 + clips)]
    scores = np.sort(levels)
    return BandScorer(scores, float(np.quantile(scores, share)), rate=rate)
