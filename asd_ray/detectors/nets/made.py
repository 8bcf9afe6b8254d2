"""Masked linear layers, which make a dense net autoregressive.

Germain, Gregor, Murray, Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015.

Every unit has a degree, and a mask decides by degrees which units of the layer below it depends on. The degree of an
input is its place in the order, from 1; hidden units cycle through 1 … the last degree but one. A hidden unit depends
on degrees up to its own, an output only on degrees below its own. Through any number of layers, an output of degree d
therefore depends on the inputs of degree 1 … d - 1 and on no others.

Inputs of equal degree are a group: no output of the group depends on any of them. Outputs of degree 1 depend on nothing
and equal their biases. An input of degree 0, such as a condition, reaches every hidden unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


def hidden_degrees(width: int, last: int) -> Tensor:
    """Degrees of `width` hidden units for inputs of degrees 1 … `last`: each of 1 … last - 1 about equally often.

    They are in ascending order, so an output depends on the first units of the layer only. A layer too narrow for all
    degrees gets some of them, evenly spaced from first to last.
    """
    highest = max(1, last - 1)
    if width < highest:
        return torch.linspace(1, highest, width).round().long()
    return (torch.arange(width) % highest + 1).sort().values


def hidden_mask(below: Tensor, own: Tensor) -> Tensor:
    """[own, below]: on which units of the layer below a hidden unit depends, given the degrees of both."""
    return own[:, None] >= below


def output_mask(below: Tensor, own: Tensor) -> Tensor:
    """As `hidden_mask`, for the last layer. An input with several outputs gives its degree to each of them."""
    return own[:, None] > below


class MaskedLinear(nn.Linear):
    """A linear layer restricted to the weights that `mask`, [outputs, inputs], allows; the others are never trained."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def he(self) -> None:
        """Initial weights after He et al. 2015, for a ReLU: uniform within sqrt(6 / allowed inputs), biases zero."""
        with torch.no_grad():
            bounds = (6 / self.mask.sum(1, keepdim=True).clamp_min(1)).sqrt()
            self.weight.uniform_(-1, 1).mul_(bounds)
            self.bias.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        return linear(inputs, self.weight * self.mask, self.bias)
