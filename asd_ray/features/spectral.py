"""Short-time spectra: log-mel, magnitude, complex. The conventions of librosa and torchaudio are parameters."""

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

WINDOW_LIMITS = 16, 2**18  # samples of a window at another rate: 250 Hz to 4 MHz for 1024 samples at 16 kHz
CPU = torch.device("cpu")
MAX_PADDING = 16  # longest transform per window length; a longer transform fills empty mel bands


@dataclass(frozen=True, kw_only=True)
class Spectral(FrontEnd):
    """What all kinds of spectrum share: a periodic Hann window, and frames as in librosa.stft and torch.stft."""

    n_fft: int = 1024
    win_length: int | None = None  # None = n_fft
    hop: int = 512
    center: bool = True  # frame t is centred on sample t·hop, and the edges are padded
    pad_mode: str = "constant"  # librosa pads with zeros, torchaudio reflects

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "n_fft", self.n_fft >= 2, "at least 2")
        must_be(self, "hop", self.hop >= 1, "at least 1")
        must_be(self, "pad_mode", self.pad_mode in ("constant", "reflect"), "'constant' or 'reflect'")
        must_be(self, "win_length", self.win_length is None or 1 <= self.win_length <= self.n_fft, "in [1, n_fft]")

    def frames(self, samples: int) -> int:
        used = self.used_samples(samples)
        if self.center:
            # Reflection needs more samples than it pads; a shorter clip has no frame.
            return 0 if self.pad_mode == "reflect" and used <= self.n_fft // 2 else used // self.hop + 1
        return max(0, (used - self.n_fft) // self.hop + 1)

    def _at(self, rate: int) -> Self:
        """Window and hop keep their seconds; the transform takes the next length that is fast to compute.

        Lengths are even, so that a centred clip has one frame per hop and one more.
        """
        from scipy.fft import next_fast_len  # imported here because other rates are rare

        window, n_fft = (_even(length * rate / self.rate) for length in (self.win_length or self.n_fft, self.n_fft))
        if not WINDOW_LIMITS[0] <= window <= WINDOW_LIMITS[1]:
            raise AsdRayError(
                f"at {rate} Hz the window of {self.KIND} has {window} samples, but only {WINDOW_LIMITS[0]} to "
                f"{WINDOW_LIMITS[1]} are possible; choose another --rate"
            )
        n_fft = 2 * next_fast_len(n_fft // 2, real=True)  # a prime factor of 83 would take three times as long
        return replace(
            self,
            rate=rate,
            n_fft=n_fft,
            win_length=None if window == n_fft else window,
            hop=max(1, round(self.hop * rate / self.rate)),
        )

    @property
    def bins(self) -> int:
        """Frequency bins of the transform."""
        return self.n_fft // 2 + 1

    def spectrum(self, waves: Tensor) -> Tensor:
        """Complex [clips, frames, bins]. Frames are a strided view; only their product with the window takes memory."""
        if self.center:
            waves = pad(waves[:, None], (self.n_fft // 2, self.n_fft // 2), self.pad_mode)[:, 0]
        window = _window(self.win_length or self.n_fft, self.n_fft, waves.device)
        spectrum: Tensor = torch.fft.rfft(waves.unfold(-1, self.n_fft, self.hop) * window)
        return spectrum

    def magnitudes(self, waves: Tensor, power: float) -> Tensor:
        """[clips, frames, bins]: magnitudes to the given power."""
        spectrum = self.spectrum(waves)
        squared = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return squared if power == 2 else squared.pow_(power / 2)


@dataclass(frozen=True, kw_only=True)
class LogMel(Spectral):
    """Mel spectrogram in decibels: ``(20/power)·log10`` of ``max(mel, floor)`` or of ``mel + floor``.

    `scale` and `norm` "slaney" give the filters of librosa, "htk" and None those of torchaudio. `top_db` raises all
    values further than that below the clip's own maximum (librosa.power_to_db's default is 80).
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
        """As for any spectrum. `fmax` is limited to half the rate, and no mel band becomes empty.

        Below about 4.5 kHz, mel bands are narrower than the bins of the window. A longer transform of the same window
        then gives each band a bin.
        """
        fmax = None if self.fmax is None else min(self.fmax, rate / 2)
        converted = Spectral._at(replace(self, fmax=fmax), rate)
        if rate > self.rate or self._has_empty_band:  # bands are not narrower than before, or were empty already
            return converted
        window, longest = converted.win_length or converted.n_fft, MAX_PADDING * converted.n_fft
        while converted._has_empty_band:
            if converted.n_fft == longest:
                raise AsdRayError(
                    f"at {rate} Hz {converted.mels} mel bands are too narrow for a window of {window} samples; choose "
                    "a higher --rate"
                )
            converted = replace(converted, n_fft=2 * converted.n_fft, win_length=window)
        return converted

    @property
    def _has_empty_band(self) -> bool:
        """Whether a mel band lies between two bins, so that its value would always be the floor."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio warns of empty bands
            return bool((self._filters().sum(0) == 0).any())

    def _filters(self, device: torch.device = CPU) -> Tensor:
        fmax = self.rate / 2 if self.fmax is None else self.fmax
        return _mel_filters(self.bins, self.fmin, fmax, self.mels, self.rate, self.norm, self.scale, device)

    def transform(self, waves: Tensor) -> Tensor:
        mel = self.magnitudes(waves, self.power) @ self._filters(waves.device)
        mel = mel.clamp_(min=self.floor) if self.floor_rule == "max" else mel.add_(self.floor)
        decibels = mel.log10_().mul_(20.0 / self.power)
        if self.top_db is not None:
            loudest = decibels.amax(dim=(1, 2), keepdim=True)
            decibels = torch.maximum(decibels, loudest - self.top_db)
        return decibels


@dataclass(frozen=True, kw_only=True)
class Magnitude(Spectral):
    """|STFT| to some power, without a logarithm."""

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
    """Complex STFT as real numbers: the last axis is (real, imaginary). `torch.view_as_complex` combines them."""

    KIND: ClassVar[str] = "complex"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.bins, 2)

    def transform(self, waves: Tensor) -> Tensor:
        return torch.view_as_real(self.spectrum(waves))


def _even(samples: float) -> int:
    return 2 * round(samples / 2)


@lru_cache(maxsize=32)
def _window(length: int, n_fft: int, device: torch.device = CPU) -> Tensor:
    """Kept on the device: nets that make their own spectra need it in every step, and sending it would wait."""
    left = (n_fft - length) // 2  # a shorter window is centred, as in librosa and torch.stft
    return pad(torch.hann_window(length), (left, n_fft - length - left)).to(device)


@lru_cache(maxsize=32)
def _mel_filters(
    bins: int, fmin: float, fmax: float, mels: int, rate: int, norm: str | None, scale: str, device: torch.device
) -> Tensor:
    """The filters of torchaudio, [bins, mels]; kept on the device as windows are."""
    from asd_ray._torchaudio import functional

    filters: Tensor = functional.melscale_fbanks(bins, fmin, fmax, mels, rate, norm, scale)
    return filters.to(device)
