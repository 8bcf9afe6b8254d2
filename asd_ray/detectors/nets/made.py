"""Masked linear layers, which make a dense net autoregressive.

Germain, Gregor, Murray, Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015.

Every unit has a degree, and a mask lets it see units of the layer below by their degrees. That of an input is its
place in the order, from 1; hidden units go round 1 … the last but one. A hidden unit sees degrees up to its own, an
output only those below its own, so that by way of any number of layers an output of degree d depends on the inputs of
degree 1 … d - 1 and on no other. Inputs of one degree are a group: no output of the group sees any of them. Outputs
of degree 1 see nothing and are their biases. An input of degree 0, such as a condition, is seen by every hidden unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


def hidden_degrees(width: int, last: int) -> Tensor:
    """Degrees of `width` hidden units where inputs have degrees 1 … `last`: each of 1 … last - 1 about equally often.

    They rise, so that what an output sees of the layer is its first units. A layer too narrow for all degrees has
    some from the first to the last, evenly spread.
    """
    most = max(1, last - 1)
    if width < most:
        return torch.linspace(1, most, width).round().long()
    return (torch.arange(width) % most + 1).sort().values


def hidden_mask(below: Tensor, own: Tensor) -> Tensor:
    """[own, below]: which units of the layer below, by their degrees, a hidden unit sees."""
    return own[:, None] >= below


def output_mask(below: Tensor, own: Tensor) -> Tensor:
    """As `hidden_mask` of the last layer; an input that has several outputs gives its degree to each of them."""
    return own[:, None] > below


class MaskedLinear(nn.Linear):
    """A linear layer with the weights that `mask`, [outputs, inputs], leaves; those that it hides never learn."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def he(self) -> None:
        """Initial weights after He et al. 2015, for a ReLU: uniform within sqrt(6 / units seen), biases zero."""
        with torch.no_grad():
            bounds = (6 / self.mask.sum(1, keepdim=True).clamp_min(1)).sqrt()
            self.weight.uniform_(-1, 1).mul_(bounds)
            self.bias.zero_()

    def forward(self, given: Tensor) -> Tensor:
        return linear(given, self.weight * self.mask, self.bias)
