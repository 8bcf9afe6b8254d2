"""Whole clips as waves of one length, for nets with front ends of their own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.features import FrontEnd, Windows
from asd_ray.features._base import FULL_SCALE
from asd_ray.features.extract import frame_counts


class Waves:
    """Positions of clips -> [n, samples] in [-1, 1), on the device: each clip as long as `front_end` hears it.

    The front end has `seconds`, and repeats shorter clips up to them. Samples are read from the bank's memory map
    whenever they are asked for: all clips of six machines would be 23 GB of floats, and a batch of 64 takes some
    milliseconds.
    """

    def __init__(self, clips: ClipSet, front_end: FrontEnd, device: torch.device) -> None:
        frame_counts(front_end, clips)  # refuses a bank of another rate
        self.clips, self.samples, self.device = clips, front_end.heard(1), device

    def __call__(self, at: Tensor) -> Tensor:
        waves = np.empty((len(at), self.samples), np.int16)
        for wave, position in zip(waves, at.tolist(), strict=True):
            wave[:] = np.resize(self.clips.samples(position)[: self.samples], self.samples)
        return torch.from_numpy(waves).to(self.device).float().mul_(1 / FULL_SCALE)

    @property
    def windows(self) -> Windows:
        """Each clip is one window, named by its position."""
        ones = np.arange(len(self.clips))
        return Windows(ones, ones, np.ones_like(ones), 1)
