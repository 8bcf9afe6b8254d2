"""The convolutional stacks of DCGAN: an encoder halves a square picture down to 4×4, a decoder doubles it back.

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016. Every family that is built of them differs in widths and norms only; no convolution has a bias.

    encoder(128, 32, 256)    AEGAN-AD, 1×128×128 -> 256×1×1: channels 32, 64, 128, 256, 512, layer normalisation
    encoder(128, 64, 100, norm="batch", first_norm=False)    GANomaly
    decoder(128, 64, 100, norm="batch")    GANomaly, and the generator of AnoGAN
    trunk(128, 64, norm="batch", first_norm=False)    what a discriminator begins with, 1×128×128 -> 1024×4×4
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from asd_ray.errors import AsdRayError

NORMS = ("layer", "batch")
WAIST = 4  # side of the picture where an encoder ends and a decoder begins
SLOPE = 0.2  # of LeakyReLU below zero
SPREAD = 0.02  # standard deviation of initial weights


class PictureNorm(nn.LayerNorm):
    """Layer normalisation over (channels, height, width), which leaves pictures in the memory order they came in."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__((channels, side, side))

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.is_contiguous():
            return super().forward(pictures)
        # channels_last: the same numbers with the axes in that order; LayerNorm itself would copy them back and forth
        weight, bias = (each.permute(1, 2, 0).contiguous() for each in (self.weight, self.bias))
        done = layer_norm(pictures.permute(0, 2, 3, 1), list(weight.shape), weight, bias, self.eps)
        return done.permute(0, 3, 1, 2)


def trunk(size: int, channels: int, *, norm: str = "layer", first_norm: bool = True) -> nn.Sequential:
    """[n, 1, size, size] -> [n, width(size, channels), 4, 4]: 4×4 convolutions of stride 2, channels doubling."""
    layers: list[nn.Module] = []
    into, out, side = 1, channels, size
    for block in range(halvings(size)):
        side //= 2
        layers.append(nn.Conv2d(into, out, 4, 2, 1, bias=False))
        if block > 0 or first_norm:
            layers.append(_norm(norm, out, side))
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        into, out = out, 2 * out
    return nn.Sequential(*layers)


def encoder(size: int, channels: int, latent: int, *, norm: str = "layer", first_norm: bool = True) -> nn.Sequential:
    """[n, 1, size, size] -> [n, latent, 1, 1]: the trunk, and a 4×4 convolution of all that is left."""
    last = nn.Conv2d(width(size, channels), latent, WAIST, bias=False)
    return nn.Sequential(*trunk(size, channels, norm=norm, first_norm=first_norm), last)


def decoder(size: int, channels: int, latent: int, *, norm: str = "layer") -> nn.Sequential:
    """[n, latent, 1, 1] -> [n, 1, size, size] in [-1, 1]: the mirror image, with ReLU, and tanh at the end."""
    into = width(size, channels)
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, into, WAIST, bias=False)]
    for side in (WAIST << doubled for doubled in range(halvings(size))):
        out = into // 2 if 2 * side < size else 1
        layers += [_norm(norm, into, side), nn.ReLU(inplace=True), nn.ConvTranspose2d(into, out, 4, 2, 1, bias=False)]
        into = out
    return nn.Sequential(*layers, nn.Tanh())


def halvings(size: int) -> int:
    """How often a picture is halved on its way to 4×4: 5 times from 128."""
    times = size.bit_length() - WAIST.bit_length()
    if size != WAIST << max(1, times):
        raise AsdRayError(f"the side of a picture must be 8, 16, 32, 64, 128 … but got {size}")
    return times


def width(size: int, channels: int) -> int:
    """Channels of the 4×4 picture: 512 from 128 and 32."""
    return channels << (halvings(size) - 1)


@torch.no_grad()
def initialise(net: nn.Module) -> None:
    """Convolutions N(0, 0.02), the gains of batch normalisation N(1, 0.02); all else stays as torch made it."""
    for each in net.modules():
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(each.weight, 0.0, SPREAD)
        elif isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.weight, 1.0, SPREAD)


def _norm(norm: str, channels: int, side: int) -> nn.Module:
    if norm not in NORMS:
        raise AsdRayError(f"norm must be one of {', '.join(NORMS)} but got {norm!r}")
    return PictureNorm(channels, side) if norm == "layer" else nn.BatchNorm2d(channels)
