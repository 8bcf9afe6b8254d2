"""Short-time spectra: log-mel, magnitude, complex. Conventions of librosa and torchaudio are parameters."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from asd_ray.errors import AsdRayError
from asd_ray.features._base import FrontEnd, must_be

WINDOWS = 16, 2**18  # samples of a window at another rate: 250 Hz to 4 MHz for one of 1024 at 16 kHz
MOST_PADDING = 16  # times the window, where a Fourier transform of it alone would leave mel bands empty


@dataclass(frozen=True, kw_only=True)
class Spectral(FrontEnd):
    """What the three share: a periodic Hann window and framing as librosa.stft and torch.stft do it."""

    n_fft: int = 1024
    win_length: int | None = None  # None = n_fft
    hop: int = 512
    center: bool = True  # frame t is centred on sample t·hop; the edges are padded
    pad_mode: str = "constant"  # librosa pads zeros, torchaudio reflects

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "n_fft", self.n_fft >= 2, "at least 2")
        must_be(self, "hop", self.hop >= 1, "at least 1")
        must_be(self, "pad_mode", self.pad_mode in ("constant", "reflect"), "'constant' or 'reflect'")
        must_be(self, "win_length", self.win_length is None or 1 <= self.win_length <= self.n_fft, "in [1, n_fft]")

    def frames(self, samples: int) -> int:
        heard = self.used_samples(samples)
        if self.center:
            # Reflection needs more samples than it pads; a clip shorter than that has no frame of this kind.
            return 0 if self.pad_mode == "reflect" and heard <= self.n_fft // 2 else heard // self.hop + 1
        return max(0, (heard - self.n_fft) // self.hop + 1)

    def _at(self, rate: int) -> Self:
        """The window and the hop keep their seconds; the transform is the next longer one that is quick to compute.

        Lengths are even, so that a centred clip has a frame for every hop and one more.
        """
        from scipy.fft import next_fast_len  # another rate is seldom asked for

        window, n_fft = (_even(length * rate / self.rate) for length in (self.win_length or self.n_fft, self.n_fft))
        if not WINDOWS[0] <= window <= WINDOWS[1]:
            raise AsdRayError(
                f"at {rate} Hz the window of {self.KIND} has {window} samples where {WINDOWS[0]} to {WINDOWS[1]} are "
                "possible; choose another --rate"
            )
        n_fft = 2 * next_fast_len(n_fft // 2, real=True)  # a prime factor of 83 costs three times the time
        return replace(
            self,
            rate=rate,
            n_fft=n_fft,
            win_length=None if window == n_fft else window,
            hop=max(1, round(self.hop * rate / self.rate)),
        )

    @property
    def bins(self) -> int:
        return self.n_fft // 2 + 1

    def spectrum(self, waves: Tensor) -> Tensor:
        """Complex [clips, frames, bins]. Frames are a strided view; only their product with the window is stored."""
        if self.center:
            waves = pad(waves[:, None], (self.n_fft // 2, self.n_fft // 2), self.pad_mode)[:, 0]
        window = _window(self.win_length or self.n_fft, self.n_fft).to(waves.device)
        spectrum: Tensor = torch.fft.rfft(waves.unfold(-1, self.n_fft, self.hop) * window)
        return spectrum

    def magnitudes(self, waves: Tensor, power: float) -> Tensor:
        spectrum = self.spectrum(waves)
        squared = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return squared if power == 2 else squared.pow_(power / 2)


@dataclass(frozen=True, kw_only=True)
class LogMel(Spectral):
    """Mel spectrogram in decibels: ``(20/power)·log10`` of ``max(mel, floor)`` or of ``mel + floor``.

    `scale` and `norm` "slaney" give librosa's filters, "htk" and None torchaudio's. `top_db` lifts everything
    further than that below the clip's own loudest bin (librosa.power_to_db's default is 80).
    """

    KIND: ClassVar[str] = "log_mel"

    mels: int = 128
    fmin: float = 0.0
    fmax: float | None = None  # None = half the rate
    power: float = 2.0
    scale: str = "slaney"
    norm: str | None = "slaney"
    floor: float = 1e-10
    floor_rule: str = "max"  # or "add"
    top_db: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "mels", self.mels >= 1, "at least 1")
        must_be(self, "power", self.power > 0, "above 0")
        must_be(self, "scale", self.scale in ("slaney", "htk"), "'slaney' or 'htk'")
        must_be(self, "norm", self.norm in ("slaney", None), "'slaney' or None")
        must_be(self, "floor", self.floor > 0, "above 0")
        must_be(self, "floor_rule", self.floor_rule in ("max", "add"), "'max' or 'add'")
        must_be(self, "top_db", self.top_db is None or self.top_db > 0, "above 0, or None")
        must_be(self, "fmin", 0 <= self.fmin < (self.fmax or self.rate / 2), "from 0 and below fmax or rate / 2")
        must_be(self, "fmax", self.fmax is None or self.fmin < self.fmax <= self.rate / 2, "in (fmin, rate / 2]")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.mels,)

    def _at(self, rate: int) -> Self:
        """As any spectrum; `fmax` is cut at half the rate, and no mel band becomes empty.

        Where bands are narrower than the bins of the window, below some 4.5 kHz, a longer transform of the same window
        gives each of them a bin.
        """
        fmax = None if self.fmax is None else min(self.fmax, rate / 2)
        made = Spectral._at(replace(self, fmax=fmax), rate)
        if rate > self.rate or self._empty:  # bands are no narrower then, or are meant to be so
            return made
        window, longest = made.win_length or made.n_fft, MOST_PADDING * made.n_fft
        while made._empty:
            if made.n_fft == longest:
                raise AsdRayError(
                    f"at {rate} Hz {made.mels} mel bands are too narrow for a window of {window} samples; choose a "
                    "higher --rate"
                )
            made = replace(made, n_fft=2 * made.n_fft, win_length=window)
        return made

    @property
    def _empty(self) -> bool:
        """Whether a mel band lies between two bins, and would be the floor whatever is heard."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio says so, too
            return bool((self._filters().sum(0) == 0).any())

    def _filters(self) -> Tensor:
        fmax = self.rate / 2 if self.fmax is None else self.fmax
        return _mel_filters(self.bins, self.fmin, fmax, self.mels, self.rate, self.norm, self.scale)

    def transform(self, waves: Tensor) -> Tensor:
        mel = self.magnitudes(waves, self.power) @ self._filters().to(waves.device)
        mel = mel.clamp_(min=self.floor) if self.floor_rule == "max" else mel.add_(self.floor)
        decibels = mel.log10_().mul_(20.0 / self.power)
        if self.top_db is not None:
            loudest = decibels.amax(dim=(1, 2), keepdim=True)
            decibels = torch.maximum(decibels, loudest - self.top_db)
        return decibels


@dataclass(frozen=True, kw_only=True)
class Magnitude(Spectral):
    """|STFT| to some power, linear."""

    KIND: ClassVar[str] = "magnitude"

    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "power", self.power > 0, "above 0")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.bins,)

    def transform(self, waves: Tensor) -> Tensor:
        return self.magnitudes(waves, self.power)


@dataclass(frozen=True, kw_only=True)
class Complex(Spectral):
    """Complex STFT as real numbers: the last axis is (real, imaginary); `torch.view_as_complex` joins them."""

    KIND: ClassVar[str] = "complex"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.bins, 2)

    def transform(self, waves: Tensor) -> Tensor:
        return torch.view_as_real(self.spectrum(waves))


def _even(samples: float) -> int:
    return 2 * round(samples / 2)


@lru_cache(maxsize=32)
def _window(length: int, n_fft: int) -> Tensor:
    left = (n_fft - length) // 2  # a shorter window stands in the middle, as in librosa and torch.stft
    return pad(torch.hann_window(length), (left, n_fft - length - left))


@lru_cache(maxsize=32)
def _mel_filters(bins: int, fmin: float, fmax: float, mels: int, rate: int, norm: str | None, scale: str) -> Tensor:
    """torchaudio's filters, [bins, mels]."""
    from asd_ray._torchaudio import functional

    filters: Tensor = functional.melscale_fbanks(bins, fmin, fmax, mels, rate, norm, scale)
    return filters
