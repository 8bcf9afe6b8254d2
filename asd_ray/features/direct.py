"""Features that are computed at each request and not stored: for new sound, which is scored once."""

from __future__ import annotations

from typing import Protocol

import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.features._base import FrontEnd
from asd_ray.features.extract import Features, extract


class FeatureSource(Protocol):
    """What a detector asks for features: the node's `FeatureCache`, or `DirectFeatures`."""

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features: ...


class DirectFeatures:
    """Remembers the features of the last clips, because several detectors of an ensemble often share a front end."""

    def __init__(self) -> None:
        self._bank: object = None
        self._computed: dict[tuple[str, str, int, bytes], Features] = {}

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        if clips.bank is not self._bank:
            self.forget()
            self._bank = clips.bank
        key = (front_end.hash, dtype, clips.channel, clips.rows.tobytes())
        if key not in self._computed:
            self._computed[key] = extract(front_end, clips, device=device, dtype=dtype)
        return self._computed[key]

    def forget(self) -> None:
        """Free the memory of the last clips."""
        self._bank, self._computed = None, {}
