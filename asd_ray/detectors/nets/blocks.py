"""What the convolutional backbones are built of: convolution with normalisation, inverted residual, first weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

Layer = Callable[[int], nn.Module]  # channels -> a layer for as many: a normalisation or an activation


def relu(channels: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def relu6(channels: int) -> nn.Module:
    return nn.ReLU6(inplace=True)


def hard_swish(channels: int) -> nn.Module:
    return nn.Hardswish()


def batch_norm(eps: float = 1e-5, momentum: float = 0.1) -> Layer:
    """`momentum` is torch's: the share of the newest batch, one minus what Keras calls so."""
    return partial(nn.BatchNorm2d, eps=eps, momentum=momentum)


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of `by` not below nine tenths of `channels`: how the MobileNets round their widths."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest if nearest >= 0.9 * channels else nearest + by


def halved(size: tuple[int, int], times: int = 1) -> tuple[int, int]:
    """What `times` padded convolutions of odd kernel and stride 2 leave of a picture's height and width."""
    for _ in range(times):
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    return size


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    *,
    padding: int | None = None,
    groups: int = 1,
    norm: Layer = nn.BatchNorm2d,
    activation: Layer | None = None,
) -> nn.Sequential:
    """Convolution, normalisation and, if given, activation. No bias: normalisation would take it away.

    Without `padding` an odd kernel is padded so that stride 1 keeps the picture's size.
    """
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else 0
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, norm(outputs)]
    return nn.Sequential(*layers, *([activation(outputs)] if activation else []))


class SqueezeExcite(nn.Module):
    """Each channel times a gate in [0, 1] that two 1×1 convolutions make of all channels' means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, pictures: Tensor) -> Tensor:
        gated: Tensor = pictures * self.gate(pictures.mean((2, 3), keepdim=True))
        return gated


class InvertedResidual(nn.Module):
    """1×1 convolution to `hidden` channels, depthwise convolution, 1×1 convolution to `outputs` without activation.

    The first is left out where `hidden` is as wide as the input; the input is added where the shape stays. With
    `squeezed`, squeeze-and-excitation through so many channels follows the depthwise convolution.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        kernel: int,
        stride: int,
        activation: Layer,
        *,
        norm: Layer = nn.BatchNorm2d,
        squeezed: int = 0,
    ) -> None:
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(conv_norm(inputs, hidden, norm=norm, activation=activation))
        layers.append(conv_norm(hidden, hidden, kernel, stride, groups=hidden, norm=norm, activation=activation))
        if squeezed:
            layers.append(SqueezeExcite(hidden, squeezed))
        layers.append(conv_norm(hidden, outputs, norm=norm))
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        made: Tensor = self.layers(pictures)
        return pictures + made if self.adds else made


@torch.no_grad()
def glorot(net: nn.Module) -> None:
    """Keras' own first weights of convolutions: uniform, by the sum of inputs and outputs; biases are zero."""
    for each in _convolutions(net):
        nn.init.xavier_uniform_(each.weight)


@torch.no_grad()
def normal_by_outputs(net: nn.Module, *, per_group: bool) -> None:
    """Weights of convolutions from N(0, 2 / (kernel area · outputs)), outputs in all or `per_group`; biases zero."""
    for each in _convolutions(net):
        outputs = each.out_channels // (each.groups if per_group else 1)
        nn.init.normal_(each.weight, std=math.sqrt(2 / (math.prod(each.kernel_size) * outputs)))


def _convolutions(net: nn.Module) -> list[nn.Conv2d]:
    found = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
    for each in found:
        if each.bias is not None:
            nn.init.zeros_(each.bias)
    return found
