"""Where training hears windows of clips when they are drawn anew each epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asd_ray.features import Windows


class Places:
    """As many windows of a clip as fit into it side by side, at places drawn anew each time they are asked for.

    `windows` are those of hop 1, `labels` one a clip.
    """

    def __init__(self, windows: Windows, labels: Tensor, device: torch.device) -> None:
        counts = windows.counts  # of all windows that a clip has, one a frame
        first = torch.from_numpy(windows.start[np.cumsum(counts) - counts])
        fit = torch.from_numpy((counts + windows.size - 1) // windows.size)
        each = (torch.repeat_interleave(every, fit).to(device) for every in (first, torch.from_numpy(counts), labels))
        self._first, self._counts, self._labels = each

    def __len__(self) -> int:
        return len(self._labels)

    def __call__(self, at: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """First frames of windows, and their labels."""
        share = torch.rand(len(at), dtype=torch.float64, generator=generator).to(at.device)
        return self._first[at] + (share * self._counts[at]).long(), self._labels[at]
