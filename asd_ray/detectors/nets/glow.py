"""Glow for one-channel images, with a base distribution for each class.

Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", NeurIPS 2018. A level is a squeeze, then
steps of activation normalisation, invertible 1x1 convolution and affine coupling. Except in the last level, a split
follows: half of the channels leave the flow there.

The flow is the same for all classes. Its output is Gaussian, with a mean and a deviation for each class, channel and
row. Densities under all classes therefore cost no more than the density under one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pixel_shuffle, pixel_unshuffle

from asd_ray.errors import AsdRayError

MAX_LOG_SCALE = 5.0  # of the prediction of a split: keeps densities finite for any sound
MIN_DEVIATION = 0.1  # of a channel of standardised images: silence has none


class ActNorm(nn.Module):
    """A scale and a shift per channel. `Glow.initialise` sets them so that its images get mean 0 and deviation 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.pending = False

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the log-determinant."""
        if self.pending:
            self._set(x)
        return (x + self.shift) * self.log_scale.exp(), self.log_scale.sum() * _area(x)

    def inverse(self, y: Tensor) -> Tensor:
        return y * (-self.log_scale).exp() - self.shift

    @torch.no_grad()
    def _set(self, x: Tensor) -> None:
        deviation, mean = torch.std_mean(x, (0, 2, 3), keepdim=True, correction=0)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-deviation.clamp_min(MIN_DEVIATION).log())
        self.pending = False


class Mixing(nn.Module):
    """An invertible 1x1 convolution, initially a random rotation.

    Its matrix is P L (U + diag s); P and the signs of s are fixed.
    """

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
        # not conv2d, which a GPU would compute with a mantissa of 10 bits
        return (self.weight() @ x.flatten(2)).view_as(x), self.log_diagonal.sum() * _area(x)

    def inverse(self, y: Tensor) -> Tensor:
        x: Tensor = torch.linalg.solve(self.weight(), y.flatten(2))
        return x.view_as(y)


class ZeroConv(nn.Module):
    """A 3x3 convolution that is zero at first, with a learned scale per channel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.log_scale = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.conv(x) * (3 * self.log_scale).exp()
        return output


class Coupling(nn.Module):
    """Shifts and scales half of the channels by the output of a small net on the other half."""

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
        unchanged, other = x.chunk(2, 1)
        shift, log_scale = self._shift_and_log_scale(unchanged)
        return torch.cat([unchanged, (other + shift) * log_scale.exp()], 1), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        unchanged, other = y.chunk(2, 1)
        shift, log_scale = self._shift_and_log_scale(unchanged)
        return torch.cat([unchanged, other * (-log_scale).exp() - shift], 1)

    def _shift_and_log_scale(self, unchanged: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(unchanged.device.type, torch.bfloat16, enabled=unchanged.is_cuda and self.training):
            output = self.net(unchanged)
        shift, raw = output.to(unchanged.dtype).chunk(2, 1)
        return shift, logsigmoid(raw + 2)


class Split(nn.Module):
    """Half of the channels leave the flow, normalised by what the other half predicts for them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.predict = ZeroConv(channels // 2, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What stays, what leaves, and the log-determinants."""
        staying, leaving = x.chunk(2, 1)
        mean, log_scale = self._mean_and_log_scale(staying)
        return staying, (leaving - mean) * (-log_scale).exp(), -log_scale.flatten(1).sum(1)

    def inverse(self, staying: Tensor, leaving: Tensor) -> Tensor:
        mean, log_scale = self._mean_and_log_scale(staying)
        return torch.cat([staying, leaving * log_scale.exp() + mean], 1)

    def _mean_and_log_scale(self, staying: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.predict(staying).chunk(2, 1)
        return mean, MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)


class Base(nn.Module):
    """A Gaussian for each class; mean and deviation depend on channel and row and are the same at all times."""

    def __init__(self, classes: int, channels: int, rows: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(classes, channels * rows))
        self.log_scale = nn.Parameter(torch.zeros(classes, channels * rows))

    def forward(self, z: Tensor) -> Tensor:
        """[n, channels, rows, times] -> log densities under every class, [n, classes].

        Sums over time come first, so that all classes together take two matrix products.
        """
        times, precision = z.shape[3], (-2 * self.log_scale).exp()
        first, second = z.sum(3).flatten(1), z.square().sum(3).flatten(1)
        squares = second @ precision.t() - 2 * first @ (self.mean * precision).t()
        constant = (self.mean.square() * precision + 2 * self.log_scale + math.log(2 * math.pi)).sum(1)
        return -0.5 * (squares + times * constant)


class Level(nn.Module):
    """A squeeze, steps, and a split unless it is the last level."""

    def __init__(self, channels: int, width: int, steps: int, last: bool) -> None:
        super().__init__()
        layers = [(ActNorm(channels), Mixing(channels), Coupling(channels, width)) for _ in range(steps)]
        self.layers = nn.ModuleList([layer for step in layers for layer in step])
        self.split = None if last else Split(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """What goes on, what leaves (None in the last level), and the log-determinants."""
        x, leaving = pixel_unshuffle(x, 2), None
        log_determinant = x.new_zeros(x.shape[0])
        for layer in self.layers:
            x, layer_log_determinant = layer(x)
            log_determinant = log_determinant + layer_log_determinant
        if self.split is not None:
            x, leaving, layer_log_determinant = self.split(x)
            log_determinant = log_determinant + layer_log_determinant
        return x, leaving, log_determinant

    def inverse(self, x: Tensor, leaving: Tensor | None) -> Tensor:
        if self.split is not None:
            assert leaving is not None
            x = self.split.inverse(x, leaving)
        for layer in reversed(self.layers):
            x = layer.inverse(x)  # type: ignore[operator]
        return pixel_shuffle(x, 2)


class Glow(nn.Module):
    """A normalising flow for images [n, 1, rows, times]. Both sizes must be multiples of 2^levels."""

    def __init__(self, rows: int, times: int, *, classes: int, width: int, steps: int, levels: int) -> None:
        super().__init__()
        if rows % 2**levels or times % 2**levels:
            raise AsdRayError(
                f"Glow with {levels} levels needs images whose sizes are multiples of {2**levels} but got "
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
        """What leaves each level, and the log-determinant of each image."""
        outputs, log_determinant = [], x.new_zeros(x.shape[0])
        for level in self.levels:
            x, leaving, level_log_determinant = level(x)
            outputs.append(x if leaving is None else leaving)
            log_determinant = log_determinant + level_log_determinant
        return outputs, log_determinant

    def inverse(self, outputs: list[Tensor]) -> Tensor:
        x = outputs[-1]
        for level, leaving in zip(reversed(self.levels), [None, *outputs[-2::-1]], strict=True):
            x = level.inverse(x, leaving)  # type: ignore[operator]
        return x

    def log_prob(self, x: Tensor, classes: Tensor) -> Tensor:
        """The log density of each image under each of its `classes`, [n, m] -> [n, m]."""
        outputs, log_determinant = self.forward(x)
        densities = [base(output) for base, output in zip(self.bases, outputs, strict=True)]
        return torch.stack(densities).sum(0).gather(1, classes) + log_determinant[:, None]

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the activation normalisations from these images, layer by layer."""
        for module in self.modules():
            if isinstance(module, ActNorm):
                module.pending = True
        self(x)


def _area(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]
