"""Where in time and frequency the fault of a demo clip is, for benchmarks and tests of explanations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.clips.demo.plan import DemoClip
from asd_ray.clips.demo.sound import RATE

BANDS = 64  # evenly spaced in mel
N_FFT, HOP = 1024, 512
# 3 dB: the fault at least doubles the power of a cell, so it is as strong there as all the rest, or halves it. Weaker
# changes are smaller than those from one healthy clip to the next, whose level varies by 1.2 dB and more.
THRESHOLD_DB = 3.0
ROUNDING_DB = 10.0  # cells are compared down to this level above the rounding to 16 bits


@dataclass(frozen=True, eq=False)
class FaultPlace:
    """How a clip differs from its healthy twin."""

    difference_db: npt.NDArray[np.float64]  # [bands, frames]; negative where a sound is missing
    hz: npt.NDArray[np.float64]  # BANDS + 1 edges
    seconds: npt.NDArray[np.float64]  # frames + 1 edges

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The cells in which the fault is. There are none if it is too weak."""
        return np.abs(self.difference_db) >= THRESHOLD_DB


def fault_place(clip: DemoClip, seed: int, seconds: float) -> FaultPlace:
    """Compare the clip with the same clip without its fault: same noise, same speed, same knocks of other machines.

    A fault that moves a sound, such as a late click, is in both places: where the sound is and where it is missing.
    """
    faulty, healthy = clip.with_twin(seed, seconds)
    edges = np.linspace(0.0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 1)
    hz = 700 * (10 ** (edges / 2595) - 1)
    after, before = _band_levels(faulty, hz), _band_levels(healthy, hz)
    times = (np.arange(after.shape[1] + 1) - 0.5) * HOP / RATE
    return FaultPlace(after - before, hz, np.clip(times, 0.0, len(faulty) / RATE))


def _band_levels(samples: npt.NDArray[np.int16], hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The level of each band in each frame in dB, [bands, frames]; frame t is centred on sample t · HOP."""
    padded = np.pad(samples.astype(np.float64), N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    window = np.hanning(N_FFT + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    starts = np.searchsorted(np.fft.rfftfreq(N_FFT, 1 / RATE), hz[:-1])
    rounding = np.sum(window**2) / 12 * 10 ** (ROUNDING_DB / 10)  # power per bin
    bins = np.diff([*starts, power.shape[1]])
    levels: npt.NDArray[np.float64] = 10 * np.log10(np.add.reduceat(power, starts, axis=1) + rounding * bins).T
    return levels
