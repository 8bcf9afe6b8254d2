from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_ray.detectors.nets.complex import (
    MIN_FRAMES,
    ChannelAttention,
    ComplexConv,
    ComplexEncoder,
    RealEncoder,
    absolute,
    layers_of,
)


def as_complex(images: Tensor) -> Tensor:
    return torch.complex(*images.chunk(2, 1))


def test_a_complex_convolution_equals_that_of_complex_numbers() -> None:
    torch.manual_seed(0)
    layer = ComplexConv(2, 3, (3, 2), (2, 1), (1, 0)).double()
    images = torch.randn(2, 4, 5, 4).double()
    with torch.no_grad():
        result = as_complex(layer(images)).numpy()
        kernel = torch.complex(layer.real.weight, layer.imaginary.weight).numpy()
    padded = np.pad(as_complex(images).numpy(), ((0, 0), (0, 0), (1, 1), (0, 0)))
    assert result.shape == (2, 3, 3, 3)
    for row in range(3):
        for column in range(3):
            patch = padded[:, :, 2 * row : 2 * row + 3, column : column + 2]
            expected = np.einsum("ncft,ocft->no", patch, kernel)
            np.testing.assert_allclose(result[:, :, row, column], expected, rtol=1e-10)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_the_layers_shrink_images_as_in_table_1(complex_valued: bool) -> None:
    parts = 2 if complex_valued else 1
    result, shapes = torch.randn(2, parts, 513, 64), []
    for layer in layers_of(2, complex_valued=complex_valued):
        result = layer(result)
        shapes.append(tuple(result.shape[1:]))
    wide, narrow = 4 * parts, 2 * parts
    expected = [(narrow, 257, 32), (wide, 129, 16), (wide, 65, 8), (wide, 33, 4), (narrow, 17, 3)]
    assert shapes == [shape for shape in expected for _ in range(3)]


def test_the_convolutions_over_frequency_shrink_the_encoded_images() -> None:
    net = ComplexEncoder(2, 4)
    magnitude, both = net.magnitude(torch.randn(1, 2, 17, 3)), net.complex(torch.randn(1, 4, 17, 3))
    assert magnitude.shape == both.shape == (1, 4, 9, 3)
    assert isinstance(net.attention, ChannelAttention)
    assert net.attention.conv(torch.cat([magnitude, both], 1)).shape == (1, 8, 5, 3)
    assert net.total(net.attention(torch.cat([magnitude, both], 1))).shape == (1, 4, 9, 3)


KERNELS = 35 * 45 + 35 * 45 * 90 + 15 * 90 * 90 + 15 * 90 * 90 + 10 * 90 * 45
CHANNELS = 45 + 90 + 90 + 90 + 45


def test_parameter_counts_match_a_count_by_hand() -> None:
    def size(net: torch.nn.Module) -> int:
        return sum(each.numel() for each in net.parameters())

    # a real layer: its kernel, and per channel the weight and bias of normalisation and the slope of PReLU
    assert size(RealEncoder(45, 4)) == KERNELS + 3 * CHANNELS + (5 * 45 * 4 + 4)
    heads = (5 * 45 * 4 + 4) + (5 * 90 * 4 + 4) + (8 * 4 + 4)
    assert size(ComplexEncoder(45, 4, attention=False)) == 2 * (KERNELS + 3 * CHANNELS) + heads
    attention = (3 * 8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8)
    assert size(ComplexEncoder(45, 4)) == 2 * (KERNELS + 3 * CHANNELS) + heads + attention


def test_an_encoder_returns_the_means_of_its_features_total_first() -> None:
    torch.manual_seed(0)
    net = ComplexEncoder(2, 3).eval()
    images = torch.randn(2, 2, 65, 20)
    with torch.no_grad():
        result = net.layers(images)
        magnitude, both = net.magnitude(as_complex(result).abs()), net.complex(result)
        total = net.total(net.attention(torch.cat([magnitude, both], 1)))
        expected = torch.cat([each.mean((2, 3)) for each in (total, magnitude, both)], 1)
        torch.testing.assert_close(net(images), expected)
    assert expected.shape == (2, 9)


def test_attention_multiplies_each_channel_by_one_plus_its_weight() -> None:
    torch.manual_seed(0)
    net, images = ChannelAttention(4), torch.randn(3, 4, 9, 3)
    with torch.no_grad():
        shares = net(images) / images - 1
    torch.testing.assert_close(shares, shares[:, :, :1, :1].expand_as(shares), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(shares[:, :, 0, 0].sum(1), torch.ones(3), rtol=1e-3, atol=1e-3)
    assert float(shares.min()) > 0


def test_absolute_values_have_a_finite_gradient_at_zero() -> None:
    images = torch.tensor([3.0, 0.0, 4.0, 0.0]).view(1, 4, 1, 1).requires_grad_()
    result = absolute(images)
    torch.testing.assert_close(result.flatten(), torch.tensor([5.0, 0.0]), atol=1e-5, rtol=0)
    result.sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad.flatten(), torch.tensor([0.6, 0.0, 0.8, 0.0]))


def test_the_smallest_number_of_frames() -> None:
    net = RealEncoder(1, 1).eval()
    assert net(torch.randn(1, 1, 128, MIN_FRAMES)).shape == (1, 1)
    with pytest.raises(RuntimeError):
        net(torch.randn(1, 1, 128, MIN_FRAMES - 1))
