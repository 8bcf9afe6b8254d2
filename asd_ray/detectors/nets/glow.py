"""Glow for one-channel pictures, whose base distribution knows several classes.

Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", NeurIPS 2018. A level is a squeeze,
steps of activation normalisation, invertible 1x1 convolution and affine coupling, and, but for the last level, a split
whose one half leaves.

The flow itself is one for all classes; what leaves it is Gaussian with a mean and a spread of each class, channel and
row. Densities under all classes therefore cost no more than under one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pixel_shuffle, pixel_unshuffle

from asd_ray.errors import AsdRayError

MOST_LOG_SCALE = 5.0  # of what a split predicts: densities stay finite however foreign the sound


LEAST_SPREAD = 0.1  # of a channel of standardised pictures, in which silence has none


class ActNorm(nn.Module):
    """A scale and a shift a channel, set by `Glow.initialise` so that its pictures leave with mean 0, deviation 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.pending = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.pending:
            self._set(x)
        return (x + self.shift) * self.log_scale.exp(), self.log_scale.sum() * _area(x)

    def inverse(self, y: Tensor) -> Tensor:
        return y * (-self.log_scale).exp() - self.shift

    @torch.no_grad()
    def _set(self, x: Tensor) -> None:
        spread, mean = torch.std_mean(x, (0, 2, 3), keepdim=True, correction=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-spread.clamp_min(LEAST_SPREAD).log())
        self.pending = False


class Mixing(nn.Module):
    """An invertible 1x1 convolution, begun as a random rotation: P L (U + diag s); P and the signs of s stay."""

    permutation: Tensor
    signs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("signs", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))

    def weight(self) -> Tensor:
        diagonal = self.signs * self.log_diagonal.exp()
        lower = self.lower.tril(-1) + torch.eye(len(diagonal), dtype=diagonal.dtype, device=diagonal.device)
        return self.permutation @ lower @ (self.upper.triu(1) + diagonal.diag())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # no conv2d, which a GPU would round to 10 bits
        return (self.weight() @ x.flatten(2)).view_as(x), self.log_diagonal.sum() * _area(x)

    def inverse(self, y: Tensor) -> Tensor:
        x: Tensor = torch.linalg.solve(self.weight(), y.flatten(2))
        return x.view_as(y)


class ZeroConv(nn.Module):
    """A 3x3 convolution that begins as zero, and a learned scale a channel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.log_scale = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x) * (3 * self.log_scale).exp()
        return made


class Coupling(nn.Module):
    """Half of the channels, shifted and scaled by what a small net makes of the other half."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels // 2, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            ZeroConv(width, channels),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, other = x.chunk(2, 1)
        shift, log_scale = self._made(kept)
        return torch.cat([kept, (other + shift) * log_scale.exp()], 1), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        kept, other = y.chunk(2, 1)
        shift, log_scale = self._made(kept)
        return torch.cat([kept, other * (-log_scale).exp() - shift], 1)

    def _made(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(kept.device.type, torch.bfloat16, enabled=kept.is_cuda and self.training):
            made = self.net(kept)
        shift, raw = made.to(kept.dtype).chunk(2, 1)
        return shift, logsigmoid(raw + 2)


class Split(nn.Module):
    """Half of the channels leaves, less what the other half predicts of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = ZeroConv(channels // 2, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept, leaving = x.chunk(2, 1)
        mean, log_scale = self._made(kept)
        return kept, (leaving - mean) * (-log_scale).exp(), -log_scale.flatten(1).sum(1)

    def inverse(self, kept: Tensor, left: Tensor) -> Tensor:
        mean, log_scale = self._made(kept)
        return torch.cat([kept, left * log_scale.exp() + mean], 1)

    def _made(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.predict(kept).chunk(2, 1)
        return mean, MOST_LOG_SCALE * torch.tanh(raw / MOST_LOG_SCALE)


class Base(nn.Module):
    """A Gaussian of each class; its mean and spread are those of a channel and row, the same at all times."""

    def __init__(self, classes: int, channels: int, rows: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(classes, channels * rows))
        self.log_scale = nn.Parameter(torch.zeros(classes, channels * rows))

    def forward(self, z: Tensor) -> Tensor:
        """[n, channels, rows, times] -> log densities under every class, [n, classes].

        Sums over time are taken first, so that all classes together are two products of matrices.
        """
        times, precision = z.shape[3], (-2 * self.log_scale).exp()
        first, second = z.sum(3).flatten(1), z.square().sum(3).flatten(1)
        squares = second @ precision.t() - 2 * first @ (self.mean * precision).t()
        constant = (self.mean.square() * precision + 2 * self.log_scale + math.log(2 * math.pi)).sum(1)
        return -0.5 * (squares + times * constant)


class Level(nn.Module):
    """Squeeze, steps, and a split unless it is the last."""

    def __init__(self, channels: int, width: int, steps: int, last: bool) -> None:
        super().__init__()
        layers = [(ActNorm(channels), Mixing(channels), Coupling(channels, width)) for _ in range(steps)]
        self.layers = nn.ModuleList([layer for step in layers for layer in step])
        self.split = None if last else Split(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """What goes on, what leaves (None from the last level), and the log-determinants."""
        x, left = pixel_unshuffle(x, 2), None
        volume = x.new_zeros(len(x))
        for layer in self.layers:
            x, more = layer(x)
            volume = volume + more
        if self.split is not None:
            x, left, more = self.split(x)
            volume = volume + more
        return x, left, volume

    def inverse(self, x: Tensor, left: Tensor | None) -> Tensor:
        if self.split is not None:
            assert left is not None
            x = self.split.inverse(x, left)
        for layer in reversed(self.layers):
            x = layer.inverse(x)  # type: ignore[operator]
        return pixel_shuffle(x, 2)


class Glow(nn.Module):
    """Pictures [n, 1, rows, times]; both sizes are multiples of 2^levels."""

    def __init__(self, rows: int, times: int, *, classes: int, width: int, steps: int, levels: int) -> None:
        super().__init__()
        if rows % 2**levels or times % 2**levels:
            raise AsdRayError(
                f"Glow of {levels} levels needs pictures whose sizes are multiples of {2**levels} but got "
                f"{rows} x {times}; use fewer levels or another number of frames"
            )
        self.levels, self.bases = nn.ModuleList(), nn.ModuleList()
        channels = 1
        for level in range(1, levels + 1):
            last = level == levels
            channels *= 4
            self.levels.append(Level(channels, width, steps, last))
            channels = channels if last else channels // 2
            self.bases.append(Base(classes, channels, rows // 2**level))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """What leaves each level, and the log-determinant of each picture."""
        left, volume = [], x.new_zeros(len(x))
        for level in self.levels:
            x, leaving, more = level(x)
            left.append(x if leaving is None else leaving)
            volume = volume + more
        return left, volume

    def inverse(self, left: list[Tensor]) -> Tensor:
        x = left[-1]
        for level, leaving in zip(reversed(self.levels), [None, *left[-2::-1]], strict=True):
            x = level.inverse(x, leaving)  # type: ignore[operator]
        return x

    def log_prob(self, x: Tensor, asked: Tensor) -> Tensor:
        """Log density of each picture under each of the classes asked of it, [n, m] like `asked`."""
        left, volume = self.forward(x)
        every = [base(each) for base, each in zip(self.bases, left, strict=True)]
        return torch.stack(every).sum(0).gather(1, asked) + volume[:, None]

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the activation normalisations by these pictures, one after another."""
        for module in self.modules():
            if isinstance(module, ActNorm):
                module.pending = True
        self(x)


def _area(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]
