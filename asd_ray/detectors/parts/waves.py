"""Whole clips as waves of equal length, for nets that compute their own features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.features import FrontEnd, Windows
from asd_ray.features._base import FULL_SCALE
from asd_ray.features.extract import frame_counts

MAX_CLIPS = 32  # clips of 10 s per forward pass without gradients: 0.2 GB in the first layers of a net


class Waves:
    """Positions of clips -> waves [n, samples] in [-1, 1) on the device, each as long as `front_end` uses of a clip.

    `front_end` must have `seconds`; shorter clips are repeated up to that length. Samples are read from the memory map
    of the bank at every call: all clips of six machines would be 23 GB of floats, and a batch of 64 takes some
    milliseconds to read. In training the positions should be on the CPU, because those on a GPU are waited for.
    """

    def __init__(self, clips: ClipSet, front_end: FrontEnd, device: torch.device) -> None:
        frame_counts(front_end, clips)  # raises an error if the bank has another rate
        self.clips, self.samples, self.device = clips, front_end.used_samples(1), device

    def __call__(self, positions: Tensor) -> Tensor:
        waves = np.empty((len(positions), self.samples), np.int16)
        for wave, position in zip(waves, positions.tolist(), strict=True):
            wave[:] = np.resize(self.clips.samples(position)[: self.samples], self.samples)
        return to_device(torch.from_numpy(waves), self.device).float().mul_(1 / FULL_SCALE)

    @property
    def windows(self) -> Windows:
        """One window per clip; its start is the position of the clip."""
        positions = np.arange(len(self.clips))
        return Windows(positions, positions, np.ones_like(positions), 1)
