"""Masked autoregressive flow, told a class.

Papamakarios, Pavlakou, Murray, "Masked Autoregressive Flow for Density Estimation", NeurIPS 2017. Each block is a MADE
of one hidden layer that shifts and scales every value by what it makes of those before it, and a batch normalisation;
the order is reversed from block to block. What leaves the last block is Gaussian with mean 0 and deviation 1. The class
is a term added in the hidden layer of every MADE.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from asd_ray.detectors.nets.made import MaskedLinear, hidden_degrees, hidden_mask, output_mask

MOST_LOG_SCALE = 5.0  # of one block: densities stay finite however foreign the sound


class Block(nn.Module):
    """u = (x - m) / exp(s), with m and s of each value from the values before it and the class."""

    def __init__(self, size: int, hidden: int, classes: int, backwards: bool) -> None:
        super().__init__()
        own = torch.arange(1, size + 1)
        self.order = own.argsort(descending=backwards)
        own = own.flip(0) if backwards else own
        inner = hidden_degrees(hidden, size)
        self.hidden = MaskedLinear(hidden_mask(own, inner))
        self.told = nn.Parameter(torch.empty(classes, hidden).uniform_(-1, 1) / math.sqrt(size))
        self.out = MaskedLinear(output_mask(inner, own.repeat(2)))

    def forward(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self._made(x, classes)
        return (x - mean) * (-log_scale).exp(), -log_scale.sum(1)

    def inverse(self, u: Tensor, classes: Tensor) -> Tensor:
        """Value after value in the block's order: as many passes as there are values."""
        x = torch.zeros_like(u)
        for place in self.order.tolist():
            mean, log_scale = self._made(x, classes)
            x[:, place] = u[:, place] * log_scale[:, place].exp() + mean[:, place]
        return x

    def _made(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda and self.training):
            made = self.out((self.hidden(x) + embedding(classes, self.told)).relu())
        mean, raw = made.to(x.dtype).chunk(2, 1)
        return mean, MOST_LOG_SCALE * torch.tanh(raw / MOST_LOG_SCALE)


class FlowNorm(nn.Module):
    """Batch normalisation as a layer of a flow: invertible, and with a determinant."""

    mean: Tensor
    variance: Tensor

    def __init__(self, size: int, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps  # momentum is the share of what was
        self.log_scale = nn.Parameter(torch.zeros(size))
        self.shift = nn.Parameter(torch.zeros(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def forward(self, x: Tensor, counted: int) -> tuple[Tensor, Tensor]:
        """In training the first `counted` rows alone give mean and variance."""
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(x[:counted], 0, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, 1 - self.momentum)
                self.variance.lerp_(variance, 1 - self.momentum)
        log_factor = self.log_scale - 0.5 * (variance + self.eps).log()
        return (x - mean) * log_factor.exp() + self.shift, log_factor.sum()

    def inverse(self, y: Tensor) -> Tensor:
        return (y - self.shift) * (-self.log_scale).exp() * (self.variance + self.eps).sqrt() + self.mean


class MAF(nn.Module):
    """Vectors [n, size]."""

    def __init__(self, size: int, *, classes: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.size = size
        self.blocks = nn.ModuleList([Block(size, hidden, classes, k % 2 == 1) for k in range(blocks)])
        self.norms = nn.ModuleList([FlowNorm(size) for _ in range(blocks)])

    def forward(self, x: Tensor, classes: Tensor, counted: int | None = None) -> tuple[Tensor, Tensor]:
        """The base's values and the log-determinant of each vector, of one class each."""
        volume = x.new_zeros(len(x))
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x, of_block = block(x, classes)
            x, of_norm = norm(x, len(x) if counted is None else counted)
            volume = volume + of_block + of_norm
        return x, volume

    def inverse(self, u: Tensor, classes: Tensor) -> Tensor:
        """In eval mode only: in training, the batch that went in is part of the flow."""
        for block, norm in zip(reversed(self.blocks), reversed(self.norms), strict=True):
            u = block.inverse(norm.inverse(u), classes)  # type: ignore[operator]
        return u

    def log_prob(self, x: Tensor, asked: Tensor) -> Tensor:
        """Log density of each vector under each of the classes asked of it, [n, m] like `asked`.

        In training, batch normalisation counts the vectors under their first class only.
        """
        count, several = asked.shape
        u, volume = self.forward(x.repeat(several, 1), asked.t().reshape(-1), count)
        base = -0.5 * (u.square().sum(1) + self.size * math.log(2 * math.pi))
        return (base + volume).view(several, count).t()
