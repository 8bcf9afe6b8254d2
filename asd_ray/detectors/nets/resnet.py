"""ResNet-50, version 1: the other classifier of Giri et al. 2020.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

From memory of Keras' code, which Giri et al. used unchanged: the stride is in the first 1×1 convolution of a block,
batch normalisation has epsilon 1.001e-5 and momentum 0.99 (0.01 in torch), and initial weights are Glorot's. The biases
of its convolutions are left out here, because batch normalisation removes them.
"""

from __future__ import annotations

from torch import Tensor, nn

from asd_ray.detectors.nets.blocks import Layer, batch_norm, conv_norm, glorot, relu

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels inside a block, blocks; a block outputs four times as many


class ResNet50(nn.Module):
    """[n, in_channels, mels, time] -> [n, width]."""

    def __init__(self, in_channels: int = 1, *, momentum: float = 0.1) -> None:
        super().__init__()
        norm = batch_norm(eps=1.001e-5, momentum=momentum)
        layers: list[nn.Module] = [
            conv_norm(in_channels, 64, 7, 2, norm=norm, activation=relu),
            nn.MaxPool2d(3, 2, padding=1),
        ]
        channels = 64
        for stage, (inner_channels, blocks) in enumerate(STAGES):
            for block in range(blocks):
                stride = 2 if stage and block == 0 else 1
                layers.append(_Bottleneck(channels, inner_channels, stride, norm))
                channels = 4 * inner_channels
        self.width = channels
        self.layers = nn.Sequential(*layers)
        glorot(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images).mean((2, 3))
        return features


class _Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolution, plus the input."""

    def __init__(self, inputs: int, inner_channels: int, stride: int, norm: Layer) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_norm(inputs, inner_channels, 1, stride, norm=norm, activation=relu),
            conv_norm(inner_channels, inner_channels, 3, norm=norm, activation=relu),
            conv_norm(inner_channels, 4 * inner_channels, norm=norm),
        )
        same = inputs == 4 * inner_channels and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(inputs, 4 * inner_channels, 1, stride, norm=norm)

    def forward(self, images: Tensor) -> Tensor:
        summed: Tensor = self.layers(images) + self.shortcut(images)
        return summed.relu_()
