"""What families that rebuild log-mel pictures of 128 × 128 share: their scale, nets, discriminator and windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from asd_ray.detectors._base import Context
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import training
from asd_ray.features import Windows

SIZE = 128  # mels, and frames of a window
WINDOWS = 256  # at once where nothing is learned

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Scale:
    """Brings frames to [-1, 1], the range of tanh: -1 is the least value of the training frames, 1 the largest.

    What a test clip has beyond these is not cut off. A state holds `low` and `high`.
    """

    low: float = -1.0
    high: float = 1.0

    @classmethod
    def of(cls, frames: Tensor) -> Scale:
        low, high = frames.aminmax()
        return cls(float(low), float(high))

    def __call__(self, frames: Tensor) -> Tensor:
        """The frames, in place; silence, of one value only, becomes 0."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return frames.sub_(middle).div_(half or 1.0)


class Discriminator(nn.Module):
    """The trunk of an encoder, whose 4×4 pictures are the features, and one 4×4 filter for the verdict."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = dcgan.trunk(SIZE, channels, norm="batch", first_norm=False)
        self.verdict = nn.Conv2d(dcgan.width(SIZE, channels), 1, dcgan.WAIST, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """One logit a picture, above 0 for what it holds for real."""
        logits: Tensor = self.verdict(self.features(pictures))
        return logits.float().flatten()


def mistaken(of_real: Tensor, of_fake: Tensor) -> Tensor:
    """Mean of the cross entropies of the logits of real and of fake pictures."""
    return (cross_entropy(of_real, torch.ones_like(of_real)) + cross_entropy(of_fake, torch.zeros_like(of_fake))) / 2


def new_nets(make: Callable[[], Net], context: Context) -> Net:
    """As `made_with_seed`, on a GPU in the memory order that its convolutions are quickest with."""
    nets = training.made_with_seed(make, context)
    if context.device.type == "cuda":
        nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return nets


def of_windows(measure: Callable[[Tensor], Tensor], frames: Tensor, windows: Windows, most: int = WINDOWS) -> Tensor:
    """What `measure` gives for the pictures of all windows, `most` at a time; nothing for no windows."""
    if not len(windows):
        return frames.new_empty(0)
    picture = training.pictures_of(frames, SIZE)
    parts = torch.split(training.starts_of(windows, frames.device), most)
    return torch.cat([measure(picture(starts).contiguous()) for starts in parts])
