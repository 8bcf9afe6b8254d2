"""A real small scorer, and sounds with a fault at a known place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from asd_ray.deploy.explain.spectrum import Spectrum
from asd_ray.deploy.result import ClipScore, Samples
from asd_ray.errors import AsdRayError

RATE = 16_000


class BandEnergy:
    """Scores a sound by how far its mean level per band and quarter of a second is from that of normal noise, in dB.

    The scorer is a small one, but its scores react to loud and to missing sounds, as those of detectors do.
    """

    machine, ids, rate, threshold = "fan", ("00",), RATE, 0.5
    BANDS = 32

    def __init__(self, normal: Sequence[Samples]) -> None:
        levels = np.concatenate([self._levels(wave) for wave in normal], axis=1)
        self._mean = levels.mean(1, keepdims=True)
        self._deviation = levels.std(1, keepdims=True)
        self._normal = np.sort([self._score(wave) for wave in normal])
        self._profile = np.median([np.median(Spectrum.of(wave, RATE).magnitudes, 1) for wave in normal], 0)
        self.threshold = float(self._normal[-1])
        self.scored = 0

    def normal_scores(self, id: str) -> npt.NDArray[np.float64]:
        return self._normal

    def normal_profile(self, id: str) -> npt.NDArray[np.float64] | None:
        return np.asarray(self._profile)

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        self.scored += len(waves)
        return [ClipScore("", id or "00", len(wave) / RATE, self._score(wave), 0.0, self.threshold) for wave in waves]

    def _score(self, wave: Samples) -> float:
        if len(wave) < 1600:
            raise AsdRayError(f"{len(wave)} samples are too short; record more")
        unusual = np.abs(self._levels(wave) - self._mean) / self._deviation
        return float(np.mean(unusual**2))

    def _levels(self, wave: Samples) -> npt.NDArray[np.float64]:
        power = Spectrum.of(wave, RATE, 1024, 512).magnitudes[:512] ** 2
        bands = power.reshape(self.BANDS, -1, power.shape[1]).mean(1)
        return np.asarray(10 * np.log10(bands + 1e-6))


class Unprofiled(BandEnergy):
    """The same without knowing what is normal in each frequency bin."""

    def normal_profile(self, id: str) -> None:
        return None


def hiss(seconds: float, seed: int = 0) -> npt.NDArray[np.float64]:
    """Noise with less treble."""
    white = np.random.default_rng(seed).normal(0, 0.05, round(seconds * RATE))
    return np.convolve(white, [0.6, 0.3, 0.1], "same")


def samples(sound: npt.NDArray[np.float64]) -> Samples:
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)


def with_tone(seconds: float = 6.0, hz: float = 3200.0, start: float = 4.1, end: float = 5.0) -> Samples:
    sound = hiss(seconds, 99)
    part = slice(round(start * RATE), round(end * RATE))
    sound[part] += 0.05 * np.sin(2 * np.pi * hz * np.arange(part.stop - part.start) / RATE)
    return samples(sound)


def with_click(seconds: float = 6.0, at: float = 2.52) -> Samples:
    sound = hiss(seconds, 98)
    ring = np.exp(-np.arange(160) / 40) * np.random.default_rng(1).normal(0, 1, 160)
    sound[round(at * RATE) :][:160] += 0.8 * ring
    return samples(sound)


@pytest.fixture(scope="session")
def scorer() -> BandEnergy:
    return BandEnergy([samples(hiss(4.0, seed)) for seed in range(8)])
