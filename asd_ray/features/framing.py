"""Windows of frames over clips of different lengths: strided views and index arithmetic, no loop over windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_ray.errors import AsdRayError

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Where the windows of many clips start in their concatenated frames. Window w belongs to clip `clip[w]`."""

    start: Ints
    clip: Ints
    counts: Ints  # windows per clip
    size: int

    def __len__(self) -> int:
        return len(self.start)


def windows_of(lengths: npt.ArrayLike, size: int, hop: int = 1) -> Windows:
    """All full windows of `size` frames, at start, start + hop, … of each clip; none crosses two clips.

    A clip of T frames has (T - size) // hop + 1 windows: 309 of size 5 in 313, or 32 of size 64 at hop 8.
    """
    if size < 1 or hop < 1:
        raise AsdRayError(f"size and hop of windows must be at least 1 but got {size} and {hop}")
    lengths = np.asarray(lengths, np.int64)
    short = np.flatnonzero(lengths < size)
    if len(short):
        raise AsdRayError(
            f"{len(short)} of {len(lengths)} clips have fewer frames than a window of {size} (clip {short[0]} has "
            f"{lengths[short[0]]}); use a front end with seconds=… and short='repeat', or a smaller window"
        )
    counts = (lengths - size) // hop + 1
    clip = np.repeat(np.arange(len(lengths)), counts)
    first_window = np.cumsum(counts) - counts  # of each clip
    clip_start = np.cumsum(lengths) - lengths
    start = clip_start[clip] + (np.arange(len(clip)) - first_window[clip]) * hop
    return Windows(start, clip, counts, size)


def vectors(frames: Tensor, size: int) -> Tensor:
    """[frames, mels] -> [frames - size + 1, size·mels], frame-major, without a copy: row s is frames s … s+size-1.

    It includes rows that cross two clips; index it with `Windows.start`.
    """
    if frames.ndim != 2 or not frames.is_contiguous():
        raise AsdRayError(f"vectors() needs contiguous [frames, mels] but got a shape of {tuple(frames.shape)}")
    width = frames.shape[1]
    return frames.as_strided((len(frames) - size + 1, size * width), (width, 1))


def images(frames: Tensor, size: int) -> Tensor:
    """[frames, mels] -> [frames - size + 1, mels, size], without a copy: mel × time images for 2-D nets."""
    return frames.unfold(0, size, 1)


def per_clip(values: Tensor, windows: Windows, how: str) -> Tensor:
    """One value per clip from one value per window; `how` is mean, sum, max or min."""
    if how not in ("mean", "sum", "max", "min"):
        raise AsdRayError(f"how must be mean, sum, max or min but got {how!r}")
    if len(windows) == 0:  # there are no clips
        return values
    lengths = torch.as_tensor(windows.counts, device=values.device)
    return torch.segment_reduce(values, how, lengths=lengths)
