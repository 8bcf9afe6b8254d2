"""Complex convolutions, and the encoders of Kim et al.: the complex one, and the same layers for real images.

Kim, Ho, Kang, "Self-supervised Complex Network for Machine Sound Anomaly Detection", EUSIPCO 2021, Table I. Its encoder
is that of the Deep Complex U-Net (Choi et al., ICLR 2019), with convolutions as in DCCRN (Hu et al., Interspeech 2020).

A complex image of C channels is stored as a real one of 2C: the real parts of all channels, then the imaginary parts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from asd_ray.detectors.nets.prelu import PReLU

MIN_SQUARE = 1e-12  # of a squared absolute value: the gradient of the root is infinite at 0
# kernel and stride, each (frequency, time), and channels as multiples of those of the first layer
LAYERS = (
    ((7, 5), (2, 2), 1),
    ((7, 5), (2, 2), 2),
    ((5, 3), (2, 2), 2),
    ((5, 3), (2, 2), 2),
    ((5, 2), (2, 1), 1),
)
MIN_FRAMES = 17  # of an image: leaves the last layer the 2 frames that its kernel needs


class ComplexConv(nn.Module):
    """(W_r + i W_i) ∗ (x_r + i x_i), [n, 2·inputs, height, width] -> [n, 2·outputs, …], as one real convolution."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        self.real = nn.Conv2d(inputs, outputs, kernel, bias=False)
        self.imaginary = nn.Conv2d(inputs, outputs, kernel, bias=False)
        self.stride, self.padding = stride, padding

    def forward(self, images: Tensor) -> Tensor:
        real, imaginary = self.real.weight, self.imaginary.weight
        to_real, to_imaginary = torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)
        return conv2d(images, torch.cat([to_real, to_imaginary]), stride=self.stride, padding=self.padding)


class RealEncoder(nn.Module):
    """Real images, [n, 1, bins, frames] -> `channels` features averaged over the image, [n, channels]."""

    parts = 1

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.layers = layers_of(width, complex_valued=False)
        self.magnitude = _over_frequency(width, channels, 5)

    def forward(self, images: Tensor) -> Tensor:
        return _pooled(self.magnitude(self.layers(images)))


class ComplexEncoder(nn.Module):
    """Complex images, [n, 2, bins, frames] -> three sets of features averaged over the image, [n, 3·channels].

    In this order: the attention-weighted combination (T in the paper), features of the absolute values (F_m), and
    features of the complex values (F_c).
    """

    parts = 3

    def __init__(self, width: int, channels: int, *, attention: bool = True) -> None:
        super().__init__()
        self.layers = layers_of(width, complex_valued=True)
        self.magnitude = _over_frequency(width, channels, 5)
        self.complex = _over_frequency(2 * width, channels, 5)
        self.attention = ChannelAttention(2 * channels) if attention else nn.Identity()
        self.total = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        encoded = self.layers(images)
        magnitude_features, complex_features = self.magnitude(absolute(encoded)), self.complex(encoded)
        total = self.total(self.attention(torch.cat([magnitude_features, complex_features], 1)))
        return torch.cat([_pooled(features) for features in (total, magnitude_features, complex_features)], 1)


class ChannelAttention(nn.Module):
    """Multiplies each channel by one plus its weight: a softmax over channels, computed from the whole image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _over_frequency(channels, channels, 3)
        self.shares = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.ReLU(inplace=True), nn.Linear(4 * channels, channels), nn.Softmax(1)
        )

    def forward(self, images: Tensor) -> Tensor:
        shares: Tensor = self.shares(_pooled(self.conv(images)))
        return images + images * shares[:, :, None, None]


def layers_of(width: int, *, complex_valued: bool) -> nn.Sequential:
    """The five layers of Table I, the first with `width` channels.

    Normalisation and activation treat real and imaginary parts separately.
    """
    parts = 2 if complex_valued else 1
    convolution = ComplexConv if complex_valued else _convolution
    layers: list[nn.Module] = []
    inputs = 1
    for kernel, stride, multiple in LAYERS:
        outputs = multiple * width
        padding = (kernel[0] - 1) // 2, (kernel[1] - 1) // 2
        layers += [convolution(inputs, outputs, kernel, stride, padding)]
        layers += [nn.BatchNorm2d(parts * outputs), PReLU(parts * outputs)]
        inputs = outputs
    return nn.Sequential(*layers)


def absolute(images: Tensor) -> Tensor:
    """Absolute values of complex images, [n, 2·channels, …] -> [n, channels, …]."""
    real, imaginary = images.float().chunk(2, 1)
    return (real.square() + imaginary.square()).clamp_min(MIN_SQUARE).sqrt()


def _convolution(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)


def _over_frequency(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, (kernel, 1), (2, 1), (kernel // 2, 0))


def _pooled(images: Tensor) -> Tensor:
    return images.mean((2, 3))
