"""MobileNetV3-large at width 1, the other classifier of Cho 2022.

Howard et al., "Searching for MobileNetV3", ICCV 2019, in the version of PyTorch Image Models, which Cho used: squeeze
and excitation narrows to a quarter of a block's hidden channels, the last 1×1 convolution follows the mean over the
image and has a bias, and initial weights are normal, scaled by the outputs per group. Cho started from weights of
ImageNet. These are not part of this package: a user brings them, see `start_from`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from asd_ray.detectors.nets.blocks import (
    InvertedResidual,
    conv_norm,
    divisible,
    hard_swish,
    normal_by_outputs,
    relu,
)

TABLE = (  # kernel, hidden channels, channels, squeeze and excite, activation, stride: table 1 of the paper
    (3, 16, 16, False, relu, 1),
    (3, 64, 24, False, relu, 2),
    (3, 72, 24, False, relu, 1),
    (5, 72, 40, True, relu, 2),
    (5, 120, 40, True, relu, 1),
    (5, 120, 40, True, relu, 1),
    (3, 240, 80, False, hard_swish, 2),
    (3, 200, 80, False, hard_swish, 1),
    (3, 184, 80, False, hard_swish, 1),
    (3, 184, 80, False, hard_swish, 1),
    (3, 480, 112, True, hard_swish, 1),
    (3, 672, 112, True, hard_swish, 1),
    (5, 672, 160, True, hard_swish, 2),
    (5, 960, 160, True, hard_swish, 1),
    (5, 960, 160, True, hard_swish, 1),
)


class MobileNetV3(nn.Module):
    """[n, in_channels, mels, time] -> [n, width]."""

    width = 1280

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        channels = 16
        layers: list[nn.Module] = [conv_norm(in_channels, channels, 3, 2, activation=hard_swish)]
        for kernel, hidden, outputs, has_squeeze, activation, stride in TABLE:
            squeezed = divisible(hidden / 4) if has_squeeze else 0
            layers.append(InvertedResidual(channels, hidden, outputs, kernel, stride, activation, squeezed=squeezed))
            channels = outputs
        layers += [
            conv_norm(channels, 960, activation=hard_swish),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(960, self.width, 1),
            nn.Hardswish(),
            nn.Flatten(),
        ]
        self.layers = nn.Sequential(*layers)
        normal_by_outputs(self, per_group=True)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features

    @torch.no_grad()
    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a net with three input channels, as `mobilenet_v3_names.from_published` gives them.

        Each input channel gets the sum of the first convolution's weights over the colours, divided by the number of
        channels. So the same image in every channel gives what it gave in every colour.
        """
        first = next(name for name, values in self.state_dict().items() if values.dim() == 4)
        by_colour, channels = weights[first], self.state_dict()[first].shape[1]
        adapted = by_colour.sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels
        self.load_state_dict({**self.state_dict(), **weights, first: adapted})
