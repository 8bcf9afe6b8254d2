"""SpecAugment for nets that take waves: stretches of time and bands of frequency are silenced in training.

Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech 2019. It
masks the spectrogram. Pretrained encoders differ in their spectrograms, and some have none, so here the wave itself
loses what is masked: one stretch becomes zero, and one band of its spectrum.

Chosen here: one mask of each kind per wave; the width is uniform from 0 to the largest; the width of a band is a part
of the mel scale (of HTK) from 0 to half the rate; a band has hard edges. A net that normalises the loudness of a clip
sees what is left louder.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asd_ray.detectors.parts.transfer import to_device


def masked_waves(waves: Tensor, time: float, band: float, rate: int, rng: np.random.Generator) -> Tensor:
    """[n, samples], each without a random stretch of up to `time` of its length, and without a band of up to `band`.

    Both are in [0, 1); 0 is no mask, and draws nothing from `rng`.
    """
    samples = waves.shape[1]
    if time:
        stretches = _random_parts(len(waves), time, rng) * samples
        waves = waves.masked_fill(_inside(stretches, samples, waves.device), 0)
    if band:
        top = _mel(rate / 2)
        edges = _hertz(_random_parts(len(waves), band, rng) * top) / rate * samples  # positions in the spectrum
        spectrum = torch.fft.rfft(waves)
        kept = ~_inside(edges, spectrum.shape[1], waves.device)
        waves = torch.fft.irfft(spectrum * kept, n=samples)
    return waves


def _random_parts(
    count: int, largest: float, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """[2, count]: begins and ends of random parts of [0, 1], with widths from 0 to `largest`."""
    widths = rng.random(count) * largest
    begins = rng.random(count) * (1 - widths)
    return np.stack([begins, begins + widths])


def _inside(parts: np.ndarray[tuple[int, ...], np.dtype[np.float64]], length: int, device: torch.device) -> Tensor:
    """[count, length]: whether a position lies in the part."""
    begins, ends = to_device(torch.from_numpy(parts.round().astype(np.int64)), device).unsqueeze(2).unbind(0)
    positions = torch.arange(length, device=device)
    return (positions >= begins) & (positions < ends)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(
    mels: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return 700 * (10 ** (mels / 2595) - 1)
