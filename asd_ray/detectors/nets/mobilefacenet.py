"""MobileFaceNet, the classifier of STgram and TASTgram.

Chen, Liu, Gao, Han, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices", CCBR
2018. The tables of bottlenecks and the initial weights are those of the authors' code of Liu et al. 2022 (STgram-MFN).

Other nets take the mean over the image at the end. Here a last depthwise convolution as large as the remaining image,
(8, 20) for 128 mels × 313 frames, gives every position its own weight. The input size is therefore fixed.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from asd_ray.detectors.nets.blocks import InvertedResidual, conv_norm, halved, normal_by_outputs
from asd_ray.detectors.nets.prelu import PReLU
from asd_ray.errors import AsdRayError

TABLES = {  # expansion, channels, blocks, stride of the first block
    "2022": ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)),  # as in the paper
    "2023": ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2)),  # as in the authors' later code and in Noisy-ArcMix
}


class MobileFaceNet(nn.Module):
    """[n, in_channels, *size] -> [n, width]. `table` is the year of the authors' code."""

    def __init__(
        self, in_channels: int = 2, *, size: tuple[int, int] = (128, 313), table: str = "2022", width: int = 128
    ) -> None:
        super().__init__()
        if table not in TABLES:
            raise AsdRayError(f"unknown table {table!r} of MobileFaceNet; known: {', '.join(TABLES)}")
        self.size, self.width = size, width
        channels = 64
        layers: list[nn.Module] = [
            conv_norm(in_channels, channels, 3, 2, activation=PReLU),
            conv_norm(channels, channels, 3, groups=channels, activation=PReLU),
        ]
        for expansion, outputs, blocks, first_stride in TABLES[table]:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                layers.append(InvertedResidual(channels, expansion * channels, outputs, 3, stride, PReLU))
                channels = outputs
        remaining = halved(size, 1 + sum(int(math.log2(stride)) for *_, stride in TABLES[table]))
        layers += [
            conv_norm(channels, 512, activation=PReLU),
            conv_norm(512, 512, remaining, groups=512),
            conv_norm(512, width),
        ]
        self.layers = nn.Sequential(*layers)
        normal_by_outputs(self, per_group=False)

    def forward(self, images: Tensor) -> Tensor:
        if tuple(images.shape[2:]) != self.size:
            raise AsdRayError(
                f"this MobileFaceNet takes images of {self.size[0]} × {self.size[1]} but got "
                f"{images.shape[2]} × {images.shape[3]}; use a front end of fixed length or give the net this size"
            )
        features: Tensor = self.layers(images).flatten(1)
        return features
