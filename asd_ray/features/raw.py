"""The wave itself, for detectors that compute their own features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from asd_ray.features._base import FrontEnd


@dataclass(frozen=True, kw_only=True)
class Raw(FrontEnd):
    """Samples as floats in [-1, 1): a frame is one sample."""

    KIND: ClassVar[str] = "raw"

    def frames(self, samples: int) -> int:
        return self.used_samples(samples)

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def transform(self, waves: Tensor) -> Tensor:
        return waves
