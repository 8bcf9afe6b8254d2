"""Building blocks of the convolutional nets: convolution with normalisation, inverted residual, initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

Layer = Callable[[int], nn.Module]  # number of channels -> a normalisation or an activation


def relu(channels: int) -> nn.Module:
    """ReLU, as a `Layer`."""
    return nn.ReLU(inplace=True)


def relu6(channels: int) -> nn.Module:
    """ReLU6, as a `Layer`."""
    return nn.ReLU6(inplace=True)


def hard_swish(channels: int) -> nn.Module:
    """Hard swish, as a `Layer`."""
    return nn.Hardswish()


def batch_norm(eps: float = 1e-5, momentum: float = 0.1) -> Layer:
    """A `Layer`. `momentum` is that of torch, the weight of the newest batch: one minus the momentum of Keras."""
    return partial(nn.BatchNorm2d, eps=eps, momentum=momentum)


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, but not below nine tenths of it: how the MobileNets round widths."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest if nearest >= 0.9 * channels else nearest + by


def halved(size: tuple[int, int], times: int = 1) -> tuple[int, int]:
    """The height and width of an image after `times` padded convolutions of odd kernel and stride 2."""
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
    """Convolution, normalisation and, if given, activation. There is no bias, because normalisation would remove it.

    Without `padding`, an odd kernel is padded so that stride 1 keeps the size of the image.
    """
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else 0
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, norm(outputs)]
    return nn.Sequential(*layers, *([activation(outputs)] if activation else []))


class SqueezeExcite(nn.Module):
    """Multiplies each channel by a gate in [0, 1], computed by two 1×1 convolutions from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, images: Tensor) -> Tensor:
        gated: Tensor = images * self.gate(images.mean((2, 3), keepdim=True))
        return gated


class InvertedResidual(nn.Module):
    """1×1 convolution to `hidden` channels, depthwise convolution, 1×1 convolution to `outputs` without activation.

    The first convolution is left out if `hidden` equals the input channels. The input is added if the shape stays the
    same. With `squeezed` above 0, squeeze-and-excitation through that many channels follows the depthwise convolution.
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

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.layers(images)
        return images + outputs if self.adds else outputs


@torch.no_grad()
def glorot(net: nn.Module) -> None:
    """Keras' default initial weights of convolutions: uniform, scaled by inputs plus outputs; biases zero."""
    for convolution in _convolutions(net):
        nn.init.xavier_uniform_(convolution.weight)


@torch.no_grad()
def normal_by_outputs(net: nn.Module, *, per_group: bool) -> None:
    """Initial weights of convolutions: N(0, 2 / (kernel area · outputs)), outputs in total or `per_group`; biases 0."""
    for convolution in _convolutions(net):
        outputs = convolution.out_channels // (convolution.groups if per_group else 1)
        nn.init.normal_(convolution.weight, std=math.sqrt(2 / (math.prod(convolution.kernel_size) * outputs)))


def _convolutions(net: nn.Module) -> list[nn.Conv2d]:
    """All convolutions of the net, with their biases set to zero."""
    convolutions = [convolution for convolution in net.modules() if isinstance(convolution, nn.Conv2d)]
    for convolution in convolutions:
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
    return convolutions
