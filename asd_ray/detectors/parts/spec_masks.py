"""SpecAug: bands of time and of frequency of a spectrogram are hidden in training.

Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech 2019; its
masks alone, without the warping of time.

Chosen here: a mask covers up to a fifth of the axis. Its place is a share of the axis, so spectrograms of one clip with
different windows are masked at the same seconds and Hz. What is masked becomes 0, the mean over time where that was
subtracted before.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asd_ray.detectors.parts.transfer import to_device

WIDEST = 0.2  # share of the axis


def draw_masks(clips: int, masks: int, rng: np.random.Generator, device: torch.device | str = "cpu") -> Tensor:
    """[clips, 2, masks, 2]: for time and frequency, the beginning and the end of each mask as shares of the axis.

    The width is uniform between 0 and `WIDEST`, the place is uniform among those that lie inside.
    """
    width, place = rng.random((2, clips, 2, masks))
    width *= WIDEST
    begin = place * (1 - width)
    return to_device(torch.from_numpy(np.stack([begin, begin + width], 3).astype(np.float32)), device)


def masked(spectrograms: Tensor, masks: Tensor) -> Tensor:
    """[n, frames, bins], with 0 where a frame or a bin lies in one of its clip's masks."""
    for axis in (1, 2):
        length = spectrograms.shape[axis]
        centres = (torch.arange(length, device=spectrograms.device) + 0.5) / length
        begin, end = masks[:, axis - 1, :, None].unbind(3)
        hidden = ((centres >= begin) & (centres < end)).any(1)
        spectrograms = spectrograms.masked_fill(hidden.unsqueeze(3 - axis), 0)
    return spectrograms
