"""Waves at another rate, on the device, for nets that take one rate only."""

from __future__ import annotations

import torch
from torch import Tensor


def resampled(waves: Tensor, rate: int, to: int) -> Tensor:
    """[n, samples] at `rate` -> [n, samples · to / rate], by the Fourier transform of the whole wave.

    What lies above half the lower rate is dropped. The end of a wave continues at its beginning, so the first and last
    milliseconds have a little of each other. At the same rate the waves are returned as they are.
    """
    samples = waves.shape[1]
    length = max(1, round(samples * to / rate))
    if to == rate:
        return waves
    spectrum = torch.fft.rfft(waves)
    bins = min(samples, length)
    spectrum = spectrum[:, : (bins - 1) // 2 + 1]  # without the half of the lower rate itself, whose phase is lost
    resampled: Tensor = torch.fft.irfft(spectrum, length) * (length / samples)
    return resampled
