from __future__ import annotations

import pytest
import torch

from asd_ray.deploy.onnx.fourier import RealFft
from asd_ray.errors import AsdRayError


@pytest.mark.parametrize("n", [2, 13, 16, 441, 1000, 1024, 1114, 2048, 2880, 32_000, 160_000])
def test_it_is_the_transform_of_torch(n: int) -> None:
    values = torch.randn(3, 2, n, generator=torch.Generator().manual_seed(n))
    expected = torch.fft.rfft(values.double())
    real, imaginary = RealFft(n)(values)
    assert real.shape == imaginary.shape == expected.shape
    error = torch.complex(real, imaginary).to(expected.dtype) - expected
    assert float(error.abs().max() / expected.abs().max()) < 1e-6


def test_a_length_with_a_large_prime_factor_is_an_error() -> None:
    with pytest.raises(AsdRayError, match="factor 16001"):
        RealFft(2 * 16_001)
