"""Windows at random positions, drawn anew in every epoch of training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asd_ray.detectors.parts.transfer import to_device
from asd_ray.features import Windows


class RandomWindows:
    """Draws windows at random positions of clips: as many per clip as fit into it side by side.

    Training indexes it with positions 0 … len - 1 and gets other windows each time. `windows` must have hop 1; `labels`
    has one entry per clip.
    """

    def __init__(self, windows: Windows, labels: Tensor, device: torch.device) -> None:
        counts = windows.counts  # of possible windows per clip: one starts at every frame
        clip_start = torch.from_numpy(windows.start[np.cumsum(counts) - counts])
        windows_per_clip = torch.from_numpy((counts + windows.size - 1) // windows.size)
        tensors = (
            torch.repeat_interleave(values, windows_per_clip).to(device)
            for values in (clip_start, torch.from_numpy(counts), labels)
        )
        self._first, self._counts, self._labels = tensors

    def __len__(self) -> int:
        return len(self._labels)

    def __call__(self, positions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The first frame of a random window for each position, and the label of its clip."""
        fractions = torch.rand(len(positions), dtype=torch.float64, generator=generator)
        fractions = to_device(fractions, positions.device)
        return self._first[positions] + (fractions * self._counts[positions]).long(), self._labels[positions]
