"""Log-mel spectra of clips that are played faster or slower: time and pitch change together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from asd_ray.features._base import must_be
from asd_ray.features.spectral import LogMel

SPEEDS = 0.25, 4.0


@dataclass(frozen=True, kw_only=True)
class FasterLogMel(LogMel):
    """`LogMel` of the wave resampled in time: with a `speed` of 1.1, 100 Hz become 110 Hz and 11 s become 10 s.

    The whole clip is resampled at once by its Fourier transform. What would lie above half the rate is dropped; slower
    sound has nothing in the bands at the top.
    """

    KIND: ClassVar[str] = "faster_log_mel"

    speed: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "speed", SPEEDS[0] <= self.speed <= SPEEDS[1], f"in [{SPEEDS[0]}, {SPEEDS[1]}]")
        must_be(self, "seconds", self.seconds is None, "None: clips are resampled whole")

    @classmethod
    def of(cls, front_end: LogMel, speed: float) -> Self:
        """This front end for sound at another speed."""
        return cls(**asdict(front_end), speed=speed)

    def resampled(self, samples: int) -> int:
        """The length of a clip of `samples` after resampling."""
        return max(1, round(samples / self.speed))

    def frames(self, samples: int) -> int:
        return super().frames(self.resampled(samples))

    def transform(self, waves: Tensor) -> Tensor:
        samples, length = waves.shape[1], self.resampled(waves.shape[1])
        spectrum = torch.fft.rfft(waves)[:, : length // 2 + 1]
        if length < samples and length % 2 == 0:
            spectrum[:, -1] = 0  # half of the new rate itself, whose phase is lost
        return super().transform(torch.fft.irfft(spectrum, length).mul_(length / samples))
