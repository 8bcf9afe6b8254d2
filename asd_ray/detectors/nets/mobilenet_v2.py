"""MobileNetV2, as Giri et al. 2020 and the official classifier baseline of 2021 and 2022 use it.

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.

Both use the network of Keras at width 0.5. Keras rounds widths to multiples of 8, which gives exactly the table that
Giri et al. print. There is therefore one table here: that of the paper, times `width_factor`.

From memory of Keras' code: ReLU6, epsilon 1e-3 and momentum 0.999 of batch normalisation (0.001 in torch), a last
convolution of 1280 channels that is not narrowed below width 1, Glorot initial weights. Left open, and chosen here:
images are padded on both sides before a stride of 2, where Keras pads an even size at its end only.
"""

from __future__ import annotations

from torch import Tensor, nn

from asd_ray.detectors.nets.blocks import InvertedResidual, batch_norm, conv_norm, divisible, glorot, relu6

TABLE = (  # expansion, channels at width 1, blocks, stride of the first block: table 2 of the paper
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """[n, in_channels, mels, time] -> [n, width]. Below 32 × 32 only a padded corner is left of an image."""

    def __init__(self, in_channels: int = 1, *, width_factor: float = 0.5, momentum: float = 0.1) -> None:
        super().__init__()
        norm = batch_norm(eps=1e-3, momentum=momentum)
        channels = divisible(32 * width_factor)
        layers: list[nn.Module] = [conv_norm(in_channels, channels, 3, 2, norm=norm, activation=relu6)]
        for expansion, full, blocks, first_stride in TABLE:
            outputs = divisible(full * width_factor)
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                hidden = expansion * channels
                layers.append(InvertedResidual(channels, hidden, outputs, 3, stride, relu6, norm=norm))
                channels = outputs
        self.width = divisible(1280 * max(1.0, width_factor))
        layers.append(conv_norm(channels, self.width, norm=norm, activation=relu6))
        self.layers = nn.Sequential(*layers)
        glorot(self)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images).mean((2, 3))
        return features
