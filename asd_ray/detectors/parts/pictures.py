"""What the GAN families share: scaling, discriminator and windows of log-mel spectrograms of 128 × 128."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from asd_ray.detectors._base import Context
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import training
from asd_ray.features import Windows

SIZE = 128  # mels, and frames per window
WINDOWS = 256  # per forward pass without gradients

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Scale:
    """Scales frames to [-1, 1], the range of tanh: -1 is the smallest value of the training frames, 1 the largest.

    Values of test clips outside this range are not clipped. `low` and `high` are stored in the detector's state.
    """

    low: float = -1.0
    high: float = 1.0

    @classmethod
    def fit(cls, frames: Tensor) -> Scale:
        """The scale for these training frames."""
        low, high = frames.aminmax()
        return cls(float(low), float(high))

    def __call__(self, frames: Tensor) -> Tensor:
        """Scale the frames in place. Silence, which has one value only, becomes 0."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return frames.sub_(middle).div_(half or 1.0)

    def undo(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Scaled values in the unit of the frames."""
        return (self.high + self.low) / 2 + values * ((self.high - self.low) / 2)


class Discriminator(nn.Module):
    """The trunk of an encoder, whose 4×4 maps are the features, and one 4×4 filter that gives the verdict."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = dcgan.trunk(SIZE, channels, norm="batch", first_norm=False)
        self.verdict = nn.Conv2d(dcgan.width(SIZE, channels), 1, dcgan.WAIST_SIZE, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """One logit per image, above 0 for images that it takes for real."""
        logits: Tensor = self.verdict(self.features(images))
        return logits.float().flatten()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of the two cross-entropies: real images labelled 1 and generated images labelled 0."""
    return (
        cross_entropy(real_logits, torch.ones_like(real_logits))
        + cross_entropy(fake_logits, torch.zeros_like(fake_logits))
    ) / 2


def new_adam(weights: Iterable[nn.Parameter], lr: float, beta1: float) -> torch.optim.Adam:
    """Adam as all GAN families use it; `beta1` is their parameter."""
    return torch.optim.Adam(weights, lr=lr, betas=(beta1, 0.999), fused=True)


def new_nets(build: Callable[[], Net], context: Context) -> Net:
    """As `build_with_seed`; on a GPU in the memory format in which its convolutions are fastest."""
    nets = training.build_with_seed(build, context)
    if context.device.type == "cuda":
        nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return nets


def measure_windows(
    measure: Callable[[Tensor], Tensor], frames: Tensor, windows: Windows, at_once: int = WINDOWS
) -> Tensor:
    """The results of `measure` for the images of all windows, `at_once` per call; empty if there are no windows."""
    if not len(windows):
        return frames.new_empty(0)
    image_at = training.images_of(frames, SIZE)
    parts = torch.split(training.window_starts(windows, frames.device), at_once)
    return torch.cat([measure(image_at(starts).contiguous()) for starts in parts])
