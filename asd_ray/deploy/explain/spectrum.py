"""The spectrum of a sound, which can be changed in places and made into sound again.

What is normal in a frequency bin is a range around the median magnitude of normal sound. The magnitudes of noise spread
around their median, and LOW to HIGH times the median holds 95 % of them (a Rayleigh distribution). Setting a patch to
the median itself would be unlike any sound: on the demo set, maps made that way were hardly better than chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from asd_ray.deploy.result import Samples

N_FFT = 1024  # samples per frame at any rate, as in the sound profiles of bundles
HOP = 256  # frames that overlap by three quarters leave no steps where the sound is changed
FULL_SCALE = 32768.0
LOW, HIGH = 0.25, 3.0  # times the median magnitude of normal sound: the normal range
SILENT = 1e-3  # of the normal magnitude: below it, the phase of a clip is that of rounding errors
SMALLEST = 1e-6  # magnitude, 120 dB below full scale, as in sound profiles

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
        return np.asarray(np.abs(self.values))

    @property
    def hz(self) -> Floats:
        """The frequency of each bin."""
        return np.arange(len(self.values)) * (self.rate / self.n_fft)

    @property
    def seconds(self) -> Floats:
        """The time of each frame's centre."""
        return np.arange(self.values.shape[1]) * (self.hop / self.rate)

    def filled(self, normal: Floats, seed: int = 0) -> npt.NDArray[np.complexfloating]:
        """This spectrum with every magnitude moved into the normal range of its bin, and its phases kept.

        `normal` is the median magnitude of normal sound per bin; LOW and HIGH times it bound the range. What is within
        the range stays as it is, so a normal sound hardly changes. Where the sound is almost silent, its phase means
        nothing and is drawn at random: equal phases would make a pulse of each frame.
        """
        magnitudes = self.magnitudes
        wanted = np.clip(magnitudes, LOW * normal[:, None], HIGH * normal[:, None])
        silent = magnitudes <= SILENT * wanted
        draw = np.random.default_rng(seed)
        random_phases = np.exp(2j * np.pi * draw.random(magnitudes.shape, np.float32))
        phases = np.where(silent, random_phases, self.values / np.where(silent, 1, magnitudes))
        filled: npt.NDArray[np.complexfloating] = (wanted * phases).astype(np.complex64)
        return filled

    def excess_db(self, normal: Floats) -> Floats:
        """How far each magnitude is outside the normal range: above it positive, below it negative, within it 0."""
        with np.errstate(divide="ignore"):
            db = 20 * np.log10(np.maximum(self.magnitudes, SMALLEST) / np.maximum(normal[:, None], SMALLEST))
        low, high = 20 * np.log10(LOW), 20 * np.log10(HIGH)
        return np.asarray(db - np.clip(db, low, high))

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
        sound = self.samples.copy()
        inside = slice(max(0, start), min(len(sound), start + len(added)))
        difference = FULL_SCALE * added[inside.start - start : inside.stop - start] / self._weights[inside]
        sound[inside] = np.clip(np.rint(sound[inside] + difference), -32768, 32767)
        return sound

    @cached_property
    def _weights(self) -> Floats:
        """The sum of the squared windows at each sample."""
        squares = np.broadcast_to(_hann(self.n_fft) ** 2, (self.values.shape[1], self.n_fft))
        weights = _overlap_add(squares, self.hop)[self.n_fft // 2 :][: len(self.samples)]
        return np.maximum(weights, 1e-3)


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
