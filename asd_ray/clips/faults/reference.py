"""A simple detector without training, by which the amounts of injected faults are calibrated.

A clip is described by the level of 40 bands: mean, deviation and maximum over time. Its score is the mean of the
largest tenth of these numbers, each in deviations of normal clips.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from asd_ray.clips.audio import Samples

Floats = npt.NDArray[np.float64]
BANDS, WINDOW = 40, 1024
SECONDS = 4.0  # of each clip that are looked at
LARGEST = 0.1


class Reference:
    def __init__(self, normal: Iterable[Samples], rate: int) -> None:
        self._rate = rate
        known = np.stack([self._numbers(samples) for samples in normal])
        self._centre, scale = known.mean(axis=0), known.std(axis=0)
        self._scale = np.maximum(scale, 0.25 * np.median(scale) + 1e-6)

    def score(self, samples: Samples) -> float:
        far = np.sort(np.abs(self._numbers(samples) - self._centre) / self._scale)
        return float(far[-max(1, int(LARGEST * len(far))) :].mean())

    def _numbers(self, samples: Samples) -> Floats:
        window = min(WINDOW, len(samples))
        wave = samples[: int(SECONDS * self._rate)].astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(wave, window)[:: max(1, window // 2)]
        power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)))
        edges = np.unique(np.geomspace(1, power.shape[1], BANDS + 1).astype(int))
        bands = 10 * np.log10(np.add.reduceat(power, edges[:-1], axis=1) + 1.0)
        return np.concatenate([bands.mean(axis=0), bands.std(axis=0), bands.max(axis=0)])
