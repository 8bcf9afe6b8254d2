"""From values of overlapping windows to one map per clip, for a family's `error_map`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.features import FrontEnd
from asd_ray.features.extract import frame_counts

ErrorMap = npt.NDArray[np.float64]  # [frames, mels]


class WindowSums:
    """Adds the values of windows to the frames that they belong to.

    `size` is the number of frames per window. The copies of a clip that `frames_of` repeated, because it is shorter
    than a window, are added to the frames of the clip itself.
    """

    def __init__(self, front_end: FrontEnd, clips: ClipSet, size: int, device: torch.device) -> None:
        self.lengths = frame_counts(front_end, clips)
        padded = np.maximum(self.lengths, size)
        offsets = np.arange(padded.sum()) - np.repeat(np.cumsum(padded) - padded, padded)
        own_frames = np.repeat(np.cumsum(self.lengths) - self.lengths, padded) + offsets % np.repeat(
            self.lengths, padded
        )
        self._own_frames = torch.from_numpy(own_frames).to(device)
        total = int(self.lengths.sum())
        self._sums = torch.zeros((total, *front_end.shape), dtype=torch.float64, device=device)
        self._counts = torch.zeros(total, dtype=torch.float64, device=device)

    def add(self, starts: Tensor, values: Tensor, first: int = 0) -> None:
        """Add `values` [windows, k, mels] to the frames `first` … `first + k - 1` of the windows at `starts`."""
        positions = starts[:, None] + torch.arange(first, first + values.shape[1], device=starts.device)
        frames = self._own_frames[positions.flatten()]
        self._sums.index_add_(0, frames, values.flatten(0, 1).double())
        self._counts.index_add_(0, frames, torch.ones_like(frames, dtype=torch.float64))

    def contributions(self) -> list[ErrorMap]:
        """What each frame contributes: the mean of a clip's map is the mean of all values that were added.

        Frames near the ends of a clip are in fewer windows, so they contribute less.
        """
        maps = []
        for sums, counts in zip(self._per_clip(self._sums), self._per_clip(self._counts), strict=True):
            maps.append(_numpy(sums * (len(counts) / counts.sum())))
        return maps

    def averages(self) -> list[ErrorMap]:
        """The mean of the values that were added to each frame."""
        return [_numpy(values) for values in self._per_clip(self._sums / self._counts[:, None])]

    def _per_clip(self, values: Tensor) -> tuple[Tensor, ...]:
        return torch.split(values, self.lengths.tolist())


def _numpy(values: Tensor) -> ErrorMap:
    array: ErrorMap = values.cpu().numpy()
    return array
