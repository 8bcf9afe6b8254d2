"""ResNet-50 of the first version, the other classifier of Giri et al. 2020.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.

From memory of Keras' code, which Giri et al. took as it is: the stride lies in a block's first 1×1 convolution,
epsilon 1.001e-5 and momentum 0.99 of batch normalisation (0.01 in torch's words), Glorot's first weights. Its
convolutions have biases, which batch normalisation takes away again: they are left out here.
"""

from __future__ import annotations

from torch import Tensor, nn

from asd_ray.detectors.nets.blocks import Layer, batch_norm, conv_norm, glorot, relu

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels inside a block, blocks; a block gives four times as many


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
        for stage, (inside, blocks) in enumerate(STAGES):
            for block in range(blocks):
                stride = 2 if stage and block == 0 else 1
                layers.append(_Bottleneck(channels, inside, stride, norm))
                channels = 4 * inside
        self.width = channels
        self.layers = nn.Sequential(*layers)
        glorot(self)

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layers(pictures).mean((2, 3))
        return features


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, inside: int, stride: int, norm: Layer) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_norm(inputs, inside, 1, stride, norm=norm, activation=relu),
            conv_norm(inside, inside, 3, norm=norm, activation=relu),
            conv_norm(inside, 4 * inside, norm=norm),
        )
        same = inputs == 4 * inside and stride == 1
        self.shortcut = nn.Identity() if same else conv_norm(inputs, 4 * inside, 1, stride, norm=norm)

    def forward(self, pictures: Tensor) -> Tensor:
        added: Tensor = self.layers(pictures) + self.shortcut(pictures)
        return added.relu_()
