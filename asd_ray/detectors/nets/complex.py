"""Convolution of complex pictures, and the encoders of Kim et al.: complex ones, and the same of real numbers.

Kim, Ho, Kang, "Self-supervised Complex Network for Machine Sound Anomaly Detection", EUSIPCO 2021, Table I. Its encoder
is that of the Deep Complex U-Net (Choi et al., ICLR 2019), with convolutions as in DCCRN (Hu et al., Interspeech 2020).

A complex picture of C channels is a real one of 2C: the real parts of all channels, then the imaginary parts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

LEAST = 1e-12  # of a squared absolute value: the root's slope is infinite at 0
# kernel and stride, each (frequency, time), and channels as multiples of the first layer's
LAYERS = (
    ((7, 5), (2, 2), 1),
    ((7, 5), (2, 2), 2),
    ((5, 3), (2, 2), 2),
    ((5, 3), (2, 2), 2),
    ((5, 2), (2, 1), 1),
)
LEAST_FRAMES = 17  # that leave the last layer the 2 it needs


class ComplexConv(nn.Module):
    """(W_r + i W_i) ∗ (x_r + i x_i), [n, 2·inputs, height, width] -> [n, 2·outputs, …], as one real convolution."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        self.real = nn.Conv2d(inputs, outputs, kernel, bias=False)
        self.imaginary = nn.Conv2d(inputs, outputs, kernel, bias=False)
        self.stride, self.padding = stride, padding

    def forward(self, pictures: Tensor) -> Tensor:
        real, imaginary = self.real.weight, self.imaginary.weight
        to_real, to_imaginary = torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)
        return conv2d(pictures, torch.cat([to_real, to_imaginary]), stride=self.stride, padding=self.padding)


class RealEncoder(nn.Module):
    """Real pictures, [n, 1, bins, frames] -> the means of `channels` features, [n, channels]."""

    parts = 1

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.layers = layers_of(width, complex_ones=False)
        self.magnitude = _over_frequency(width, channels, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        return _pooled(self.magnitude(self.layers(pictures)))


class ComplexEncoder(nn.Module):
    """Complex pictures, [n, 2, bins, frames] -> the means of three sets of features, [n, 3·channels].

    These are of both parts weighed against each other (T in the paper), of the absolute values, F_m, and of the complex
    ones, F_c.
    """

    parts = 3

    def __init__(self, width: int, channels: int, *, attention: bool = True) -> None:
        super().__init__()
        self.layers = layers_of(width, complex_ones=True)
        self.magnitude = _over_frequency(width, channels, 5)
        self.complex = _over_frequency(2 * width, channels, 5)
        self.attention = ChannelAttention(2 * channels) if attention else nn.Identity()
        self.total = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        made = self.layers(pictures)
        magnitude, complex_ones = self.magnitude(absolute(made)), self.complex(made)
        total = self.total(self.attention(torch.cat([magnitude, complex_ones], 1)))
        return torch.cat([_pooled(each) for each in (total, magnitude, complex_ones)], 1)


class ChannelAttention(nn.Module):
    """Each channel times one plus its share: the shares are a softmax over channels, made of the whole picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _over_frequency(channels, channels, 3)
        self.shares = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.ReLU(inplace=True), nn.Linear(4 * channels, channels), nn.Softmax(1)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        shares: Tensor = self.shares(_pooled(self.conv(pictures)))
        return pictures + pictures * shares[:, :, None, None]


def layers_of(width: int, *, complex_ones: bool) -> nn.Sequential:
    """The five layers of Table I, `width` channels in the first; each normalises, and bends, each part by itself."""
    parts = 2 if complex_ones else 1
    convolution = ComplexConv if complex_ones else _convolution
    layers: list[nn.Module] = []
    inputs = 1
    for kernel, stride, multiple in LAYERS:
        outputs = multiple * width
        padding = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
        layers += [convolution(inputs, outputs, kernel, stride, padding)]
        layers += [nn.BatchNorm2d(parts * outputs), nn.PReLU(parts * outputs)]
        inputs = outputs
    return nn.Sequential(*layers)


def absolute(pictures: Tensor) -> Tensor:
    """[n, 2·channels, …] -> [n, channels, …]."""
    real, imaginary = pictures.float().chunk(2, 1)
    return (real.square() + imaginary.square()).clamp_min(LEAST).sqrt()


def _convolution(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)


def _over_frequency(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, (kernel, 1), (2, 1), (kernel // 2, 0))


def _pooled(pictures: Tensor) -> Tensor:
    return pictures.mean((2, 3))
