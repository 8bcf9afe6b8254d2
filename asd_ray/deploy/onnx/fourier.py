"""The Fourier transform of real signals as matrix products, which every ONNX runtime has.

ONNX has no complex numbers. Its operators DFT and STFT are missing in several runtimes and slow in others, and one
matrix product per frame would be large. A transform of length n = a·b takes two steps (Cooley and Tukey, 1965): a
transforms of length b after b transforms of length a, with a factor for each value in between. For 1024 = 32·32 these
are an eighth of the multiplications of the single product, and tables of a few kilobytes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from asd_ray.deploy.onnx.errors import CannotExport

MAX_FACTOR = 4096  # longest of the two steps: its table has up to 130 MB


class RealFft(nn.Module):
    """[…, n] real values -> the real and the imaginary parts of their n // 2 + 1 frequencies.

    With x[i·b + j] and the frequency k + a·l, the first step sums over i for each k, the second over j for each l.
    """

    first: Tensor
    twiddle_real: Tensor
    twiddle_imaginary: Tensor
    second: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.a = n, max(factor for factor in range(1, math.isqrt(n) + 1) if n % factor == 0)
        self.b = n // self.a
        if self.b > MAX_FACTOR:
            raise CannotExport(
                f"a transform of {n} samples has the factor {self.b}, whose table is too large for a file"
            )
        self.columns = (n // 2) // self.a + 1  # values of l; higher frequencies mirror lower ones
        cos, sin = _waves(self.a, self.a, self.a)
        self.register_buffer("first", torch.cat([cos, -sin]))
        cos, sin = _waves(self.a, self.b, n)
        self.register_buffer("twiddle_real", cos)
        self.register_buffer("twiddle_imaginary", -sin)
        cos, sin = _waves(self.b, self.columns, self.b)
        self.register_buffer("second", torch.cat([torch.cat([cos, -sin], 1), torch.cat([sin, cos], 1)]))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        rows = values.reshape(*values.shape[:-1], self.a, self.b)
        real, imaginary = torch.split(self.first @ rows, self.a, -2)
        turned = [
            real * self.twiddle_real - imaginary * self.twiddle_imaginary,
            real * self.twiddle_imaginary + imaginary * self.twiddle_real,
        ]
        real, imaginary = torch.split(torch.cat(turned, -1) @ self.second, self.columns, -1)
        return self._in_order(real), self._in_order(imaginary)

    def _in_order(self, values: Tensor) -> Tensor:
        """[…, k, l] -> frequencies k + a·l in ascending order."""
        return values.transpose(-1, -2).flatten(-2)[..., : self.n // 2 + 1]


def _waves(rows: int, columns: int, period: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2π·row·column / period, computed in float64."""
    steps = torch.outer(torch.arange(rows), torch.arange(columns)) % period
    angles = steps.double() * (2 * math.pi / period)
    return angles.cos().float(), angles.sin().float()
