"""Masked autoregressive flow, conditioned on a class.

Papamakarios, Pavlakou, Murray, "Masked Autoregressive Flow for Density Estimation", NeurIPS 2017. Each block is a MADE
with one hidden layer, followed by batch normalisation. The MADE shifts and scales every value by a function of the
values before it; the order is reversed from block to block. The output of the last block is Gaussian with mean 0 and
deviation 1. The class adds a term in the hidden layer of every MADE.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from asd_ray.detectors.nets.made import MaskedLinear, hidden_degrees, hidden_mask, output_mask

MAX_LOG_SCALE = 5.0  # of one block: keeps densities finite for any sound


class Block(nn.Module):
    """u = (x - m) / exp(s), where m and s of each value depend on the values before it and the class."""

    def __init__(self, size: int, hidden: int, classes: int, backwards: bool) -> None:
        super().__init__()
        degrees = torch.arange(1, size + 1)
        self.order = degrees.argsort(descending=backwards)
        degrees = degrees.flip(0) if backwards else degrees
        hidden_layer_degrees = hidden_degrees(hidden, size)
        self.hidden = MaskedLinear(hidden_mask(degrees, hidden_layer_degrees))
        # One term per class. Saved states hold it under this name.
        self.told = nn.Parameter(torch.empty(classes, hidden).uniform_(-1, 1) / math.sqrt(size))
        self.out = MaskedLinear(output_mask(hidden_layer_degrees, degrees.repeat(2)))

    def forward(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self._mean_and_log_scale(x, classes)
        return (x - mean) * (-log_scale).exp(), -log_scale.sum(1)

    def inverse(self, u: Tensor, classes: Tensor) -> Tensor:
        """Computes one value after another in the block's order: as many passes as there are values."""
        x = torch.zeros_like(u)
        for position in self.order.tolist():
            mean, log_scale = self._mean_and_log_scale(x, classes)
            x[:, position] = u[:, position] * log_scale[:, position].exp() + mean[:, position]
        return x

    def _mean_and_log_scale(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda and self.training):
            output = self.out((self.hidden(x) + embedding(classes, self.told)).relu())
        mean, raw = output.to(x.dtype).chunk(2, 1)
        return mean, MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)


class FlowNorm(nn.Module):
    """Batch normalisation as a layer of a flow: invertible, with a log-determinant."""

    mean: Tensor
    variance: Tensor

    def __init__(self, size: int, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps  # momentum is the weight of the old average
        self.log_scale = nn.Parameter(torch.zeros(size))
        self.shift = nn.Parameter(torch.zeros(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def forward(self, x: Tensor, counted: int) -> tuple[Tensor, Tensor]:
        """In training only the first `counted` rows determine mean and variance."""
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
    """A normalising flow for vectors [n, size]."""

    def __init__(self, size: int, *, classes: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.size = size
        self.blocks = nn.ModuleList([Block(size, hidden, classes, k % 2 == 1) for k in range(blocks)])
        self.norms = nn.ModuleList([FlowNorm(size) for _ in range(blocks)])

    def forward(self, x: Tensor, classes: Tensor, counted: int | None = None) -> tuple[Tensor, Tensor]:
        """The base values and the log-determinant of each vector; `classes` has one class per vector."""
        log_determinant = x.new_zeros(x.shape[0])
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x, block_log_determinant = block(x, classes)
            x, norm_log_determinant = norm(x, x.shape[0] if counted is None else counted)
            log_determinant = log_determinant + block_log_determinant + norm_log_determinant
        return x, log_determinant

    def inverse(self, u: Tensor, classes: Tensor) -> Tensor:
        """In eval mode only: in training mode the flow depends on the batch that went in."""
        for block, norm in zip(reversed(self.blocks), reversed(self.norms), strict=True):
            u = block.inverse(norm.inverse(u), classes)  # type: ignore[operator]
        return u

    def log_prob(self, x: Tensor, classes: Tensor) -> Tensor:
        """The log density of each vector under each of its `classes`, [n, m] -> [n, m].

        In training mode batch normalisation uses the vectors under their first class only.
        """
        count, repeats = classes.shape
        u, log_determinant = self.forward(x.repeat(repeats, 1), classes.t().reshape(-1), count)
        base = -0.5 * (u.square().sum(1) + self.size * math.log(2 * math.pi))
        return (base + log_determinant).view(repeats, count).t()
