"""The convolutional stacks of DCGAN: an encoder halves a square image down to 4×4, a decoder doubles it back.

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016. The families built from these differ only in widths and norms; no convolution has a bias.

    encoder(128, 32, 256)    AEGAN-AD, 1×128×128 -> 256×1×1: channels 32, 64, 128, 256, 512, layer normalisation
    encoder(128, 64, 100, norm="batch", first_norm=False)    GANomaly
    decoder(128, 64, 100, norm="batch")    GANomaly, and the generator of AnoGAN
    trunk(128, 64, norm="batch", first_norm=False)    the first layers of a discriminator, 1×128×128 -> 1024×4×4
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from asd_ray.errors import AsdRayError

NORMS = ("layer", "batch")
WAIST_SIZE = 4  # side of the image where an encoder ends and a decoder begins
SLOPE = 0.2  # of LeakyReLU below zero
INITIAL_DEVIATION = 0.02  # standard deviation of initial weights


class ImageNorm(nn.LayerNorm):
    """Layer normalisation over (channels, height, width) that keeps the memory format of its input."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__((channels, side, side))

    def forward(self, images: Tensor) -> Tensor:
        if images.is_contiguous():
            return super().forward(images)
        # channels_last: the same numbers with the axes in that order; nn.LayerNorm would copy the images twice
        weight, bias = (parameter.permute(1, 2, 0).contiguous() for parameter in (self.weight, self.bias))
        normalised = layer_norm(images.permute(0, 2, 3, 1), list(weight.shape), weight, bias, self.eps)
        return normalised.permute(0, 3, 1, 2)


def trunk(size: int, channels: int, *, norm: str = "layer", first_norm: bool = True) -> nn.Sequential:
    """[n, 1, size, size] -> [n, width(size, channels), 4, 4]: 4×4 convolutions of stride 2, channels doubling."""
    layers: list[nn.Module] = []
    inputs, outputs, side = 1, channels, size
    for block in range(halvings(size)):
        side //= 2
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        if block > 0 or first_norm:
            layers.append(_norm(norm, outputs, side))
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        inputs, outputs = outputs, 2 * outputs
    return nn.Sequential(*layers)


def encoder(size: int, channels: int, latent: int, *, norm: str = "layer", first_norm: bool = True) -> nn.Sequential:
    """[n, 1, size, size] -> [n, latent, 1, 1]: the trunk, and a 4×4 convolution over the whole remaining image."""
    last = nn.Conv2d(width(size, channels), latent, WAIST_SIZE, bias=False)
    return nn.Sequential(*trunk(size, channels, norm=norm, first_norm=first_norm), last)


def decoder(size: int, channels: int, latent: int, *, norm: str = "layer") -> nn.Sequential:
    """[n, latent, 1, 1] -> [n, 1, size, size] in [-1, 1]: the mirror of `encoder`, with ReLU, and tanh at the end."""
    inputs = width(size, channels)
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, inputs, WAIST_SIZE, bias=False)]
    for side in (WAIST_SIZE << doubled for doubled in range(halvings(size))):
        outputs = inputs // 2 if 2 * side < size else 1
        layers += [
            _norm(norm, inputs, side),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.Tanh())


def halvings(size: int) -> int:
    """How many halvings take an image to 4×4: 5 from 128."""
    times = size.bit_length() - WAIST_SIZE.bit_length()
    if size != WAIST_SIZE << max(1, times):
        raise AsdRayError(f"the side of an image must be 8, 16, 32, 64, 128 … but got {size}")
    return times


def width(size: int, channels: int) -> int:
    """Channels of the 4×4 image: 512 for size 128 and 32 channels."""
    return channels << (halvings(size) - 1)


@torch.no_grad()
def initialise(net: nn.Module) -> None:
    """Weights of convolutions N(0, 0.02), those of batch normalisation N(1, 0.02); the rest stays as it is."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, INITIAL_DEVIATION)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, INITIAL_DEVIATION)


def _norm(norm: str, channels: int, side: int) -> nn.Module:
    if norm not in NORMS:
        raise AsdRayError(f"norm must be one of {', '.join(NORMS)} but got {norm!r}")
    return ImageNorm(channels, side) if norm == "layer" else nn.BatchNorm2d(channels)
