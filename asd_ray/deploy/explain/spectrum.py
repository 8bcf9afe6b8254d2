"""The spectrum of a sound that can be changed in places and made into sound again, and what is normal in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from asd_ray.deploy.result import Samples

N_FFT = 1024  # samples per frame, at any rate
PROFILE_HOP = 512  # a profile is a median over frames, so it needs few of them
HOP = 256  # where sound is changed: frames that overlap by three quarters leave no audible steps
FULL_SCALE = 32768.0
SILENT = 1e-3  # of the normal magnitude: below it, the phase of a clip is that of rounding errors

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The short-time spectrum of one sound: complex [bins, frames], frame t centred on sample t · hop."""

    values: npt.NDArray[np.complexfloating]
    samples: Samples
    rate: int
    n_fft: int
    hop: int

    @classmethod
    def of(cls, samples: Samples, rate: int, n_fft: int = N_FFT, hop: int = HOP) -> Spectrum:
        frames = len(samples) // hop + 1
        padded = np.zeros((frames - 1) * hop + n_fft, np.float32)
        inside = samples[: len(padded) - n_fft // 2]
        padded[n_fft // 2 : n_fft // 2 + len(inside)] = inside / np.float32(FULL_SCALE)
        views = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
        return cls(np.fft.rfft(views * _hann(n_fft)).T.astype(np.complex64), samples, rate, n_fft, hop)

    @cached_property
    def magnitudes(self) -> Floats:
        return np.abs(self.values)

    @property
    def hz(self) -> Floats:
        """The frequency of each bin."""
        return np.arange(len(self.values)) * (self.rate / self.n_fft)

    @property
    def seconds(self) -> Floats:
        """The time of each frame's centre."""
        return np.arange(self.values.shape[1]) * (self.hop / self.rate)

    def with_magnitudes(self, magnitudes: Floats, seed: int = 0) -> npt.NDArray[np.complexfloating]:
        """This spectrum's phases with other magnitudes, one per bin.

        Where the sound is almost silent its phase means nothing and is drawn at random. Equal phases would make a
        pulse of each frame.
        """
        wanted = magnitudes[:, None]
        draw = np.random.default_rng(seed)
        random_phases = np.exp(2j * np.pi * draw.random(self.values.shape, np.float32))
        silent = self.magnitudes <= SILENT * wanted
        phases = np.where(silent, random_phases, self.values / np.where(silent, 1, self.magnitudes))
        changed: npt.NDArray[np.complexfloating] = (wanted * phases).astype(np.complex64)
        return changed

    def sound_with(self, values: npt.NDArray[np.complexfloating], bins: slice, frames: slice) -> Samples:
        """The sound with the spectrum `values` in a rectangle of bins and frames, and its own elsewhere.

        Only the change is made into sound, so every sample far from the rectangle stays as it is.
        """
        change = np.zeros((frames.stop - frames.start, len(self.values)), np.complex64)
        change[:, bins] = (values[bins, frames] - self.values[bins, frames]).T
        return self._changed(change, frames.start)

    def sound_where(self, values: npt.NDArray[np.complexfloating], mask: Mask) -> Samples:
        """As `sound_with`, in all bins and frames where `mask` [bins, frames] is true."""
        return self._changed(np.where(mask, values - self.values, 0).T, 0)

    def _changed(self, change: npt.NDArray[np.complexfloating], first_frame: int) -> Samples:
        pieces = np.fft.irfft(change, self.n_fft) * _hann(self.n_fft)
        added = _overlap_add(pieces, self.hop)
        start = first_frame * self.hop - self.n_fft // 2
        sound = self.samples.astype(np.float64)
        inside = slice(max(0, start), min(len(sound), start + len(added)))
        sound[inside] += FULL_SCALE * added[inside.start - start : inside.stop - start] / self._weights[inside]
        changed: Samples = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
        return changed

    @cached_property
    def _weights(self) -> Floats:
        """The sum of the squared windows at each sample."""
        squares = np.broadcast_to(_hann(self.n_fft) ** 2, (self.values.shape[1], self.n_fft))
        weights = _overlap_add(squares, self.hop)[self.n_fft // 2 :][: len(self.samples)]
        return np.maximum(weights, 1e-3)


def magnitude_profile(samples: Samples, rate: int, n_fft: int = N_FFT) -> Floats:
    """The median magnitude of one sound in each frequency bin, over time."""
    profile: Floats = np.median(Spectrum.of(samples, rate, n_fft, PROFILE_HOP).magnitudes, axis=1)
    return profile


def normal_profile(sounds: Iterable[Samples], rate: int) -> Floats:
    """What is normal in each frequency bin: the median over normal clips of their `magnitude_profile`."""
    profile: Floats = np.median([magnitude_profile(samples, rate) for samples in sounds], axis=0)
    return profile


def _hann(length: int) -> Floats:
    """A periodic Hann window."""
    window: Floats = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length, dtype=np.float32) / length)
    return window


def _overlap_add(pieces: Floats, hop: int) -> Floats:
    """Add pieces that start `hop` samples apart. The length of a piece is a multiple of `hop`."""
    count, length = pieces.shape
    total = np.zeros((count + length // hop - 1, hop), pieces.dtype)
    for part in range(length // hop):  # four; a loop over pieces would be a loop over frames
        total[part : part + count] += pieces[:, part * hop : (part + 1) * hop]
    return total.ravel()
