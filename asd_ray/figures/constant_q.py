"""The constant-Q transform: a spectrum whose bands are evenly spaced in pitch and equally sharp (Brown 1991)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Complexes = npt.NDArray[np.complexfloating]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ConstantQ:
    """Band k has the frequency lowest · 2^(k / per_octave), and a Hann window of Q of its periods."""

    rate: int
    hop: int  # samples
    lowest: float = 65.4  # Hz: a C two octaves below the middle one
    per_octave: int = 24
    highest_share: float = 0.9  # of half the rate

    @property
    def hz(self) -> Floats:
        """The frequencies of the bands."""
        octaves = np.log2(self.highest_share * self.rate / 2 / self.lowest)
        return self.lowest * 2 ** (np.arange(max(1, int(octaves * self.per_octave))) / self.per_octave)

    @property
    def q(self) -> float:
        return float(1 / (2 ** (1 / self.per_octave) - 1))

    def __call__(self, wave: npt.NDArray[np.generic]) -> Complexes:
        """[bands, frames]. Frame t is centred on sample t · hop, where the phase of every band is counted from.

        A tone of one frequency therefore has the same phase advance from frame to frame in every band.
        """
        samples = np.asarray(wave, np.float64)
        frames = len(samples) // self.hop + 1
        longest = int(np.ceil(self.q * self.rate / self.lowest))
        steps = -(-(len(samples) + 2 * longest) // self.hop)  # the padding keeps the end from wrapping to the start
        length = steps * self.hop
        spectrum = np.fft.fft(samples, length)
        bands = np.empty((len(self.hz), frames), np.complex128)
        for band, hz in zip(bands, self.hz, strict=True):
            filtered = spectrum * np.conj(np.fft.fft(self._kernel(float(hz), length)))
            # every hop-th sample of the inverse is the inverse of the folded spectrum
            band[:] = np.fft.ifft(filtered.reshape(self.hop, steps).mean(0))[:frames]
        return bands

    def _kernel(self, hz: float, length: int) -> Complexes:
        """A windowed tone of sum 1, centred on sample 0 of a circle of `length` samples."""
        half = int(self.q * self.rate / hz / 2)
        at = np.arange(-half, half + 1)
        window = 0.5 + 0.5 * np.cos(np.pi * at / (half + 1))
        kernel = np.zeros(length, np.complex128)
        kernel[at] = window / window.sum() * np.exp(2j * np.pi * hz * at / self.rate)
        return kernel


def phase_advance(bands: Complexes) -> Floats:
    """How far the phase turns from the frame before, in turns from 0 to 1; the first frame repeats the second."""
    turns = np.angle(bands[:, 1:] * np.conj(bands[:, :-1])) / (2 * np.pi) % 1.0
    return np.concatenate([turns[:, :1], turns], axis=1) if turns.shape[1] else np.zeros(bands.shape)
