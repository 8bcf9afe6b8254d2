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


def as_complex(pictures: Tensor) -> Tensor:
    return torch.complex(*pictures.chunk(2, 1))


def test_a_complex_convolution_is_that_of_complex_numbers() -> None:
    torch.manual_seed(0)
    layer = ComplexConv(2, 3, (3, 2), (2, 1), (1, 0)).double()
    pictures = torch.randn(2, 4, 5, 4).double()
    with torch.no_grad():
        made = as_complex(layer(pictures)).numpy()
        kernel = torch.complex(layer.real.weight, layer.imaginary.weight).numpy()
    padded = np.pad(as_complex(pictures).numpy(), ((0, 0), (0, 0), (1, 1), (0, 0)))
    assert made.shape == (2, 3, 3, 3)
    for row in range(3):
        for column in range(3):
            patch = padded[:, :, 2 * row : 2 * row + 3, column : column + 2]
            wanted = np.einsum("ncft,ocft->no", patch, kernel)
            np.testing.assert_allclose(made[:, :, row, column], wanted, rtol=1e-10)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_the_layers_shrink_pictures_as_table_1_says(complex_valued: bool) -> None:
    parts = 2 if complex_valued else 1
    made, shapes = torch.randn(2, parts, 513, 64), []
    for layer in layers_of(2, complex_valued=complex_valued):
        made = layer(made)
        shapes.append(tuple(made.shape[1:]))
    wide, narrow = 4 * parts, 2 * parts
    wanted = [(narrow, 257, 32), (wide, 129, 16), (wide, 65, 8), (wide, 33, 4), (narrow, 17, 3)]
    assert shapes == [shape for shape in wanted for _ in range(3)]


def test_the_heads_shrink_what_the_layers_leave() -> None:
    net = ComplexEncoder(2, 4)
    magnitude, both = net.magnitude(torch.randn(1, 2, 17, 3)), net.complex(torch.randn(1, 4, 17, 3))
    assert magnitude.shape == both.shape == (1, 4, 9, 3)
    assert isinstance(net.attention, ChannelAttention)
    assert net.attention.conv(torch.cat([magnitude, both], 1)).shape == (1, 8, 5, 3)
    assert net.total(net.attention(torch.cat([magnitude, both], 1))).shape == (1, 4, 9, 3)


KERNELS = 35 * 45 + 35 * 45 * 90 + 15 * 90 * 90 + 15 * 90 * 90 + 10 * 90 * 45
CHANNELS = 45 + 90 + 90 + 90 + 45


def test_sizes_counted_by_hand() -> None:
    def size(net: torch.nn.Module) -> int:
        return sum(each.numel() for each in net.parameters())

    # a real layer: its kernel, and of each channel the gain and shift of normalisation and the slope of PReLU
    assert size(RealEncoder(45, 4)) == KERNELS + 3 * CHANNELS + (5 * 45 * 4 + 4)
    heads = (5 * 45 * 4 + 4) + (5 * 90 * 4 + 4) + (8 * 4 + 4)
    assert size(ComplexEncoder(45, 4, attention=False)) == 2 * (KERNELS + 3 * CHANNELS) + heads
    attention = (3 * 8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8)
    assert size(ComplexEncoder(45, 4)) == 2 * (KERNELS + 3 * CHANNELS) + heads + attention


def test_an_encoder_gives_the_means_of_its_features_the_total_first() -> None:
    torch.manual_seed(0)
    net = ComplexEncoder(2, 3).eval()
    pictures = torch.randn(2, 2, 65, 20)
    with torch.no_grad():
        made = net.layers(pictures)
        magnitude, both = net.magnitude(as_complex(made).abs()), net.complex(made)
        total = net.total(net.attention(torch.cat([magnitude, both], 1)))
        wanted = torch.cat([each.mean((2, 3)) for each in (total, magnitude, both)], 1)
        torch.testing.assert_close(net(pictures), wanted)
    assert wanted.shape == (2, 9)


def test_attention_adds_to_each_channel_its_share() -> None:
    torch.manual_seed(0)
    net, pictures = ChannelAttention(4), torch.randn(3, 4, 9, 3)
    with torch.no_grad():
        shares = net(pictures) / pictures - 1
    torch.testing.assert_close(shares, shares[:, :, :1, :1].expand_as(shares), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(shares[:, :, 0, 0].sum(1), torch.ones(3), rtol=1e-3, atol=1e-3)
    assert float(shares.min()) > 0


def test_absolute_values_have_a_slope_at_zero_too() -> None:
    pictures = torch.tensor([3.0, 0.0, 4.0, 0.0]).view(1, 4, 1, 1).requires_grad_()
    made = absolute(pictures)
    torch.testing.assert_close(made.flatten(), torch.tensor([5.0, 0.0]), atol=1e-5, rtol=0)
    made.sum().backward()
    assert pictures.grad is not None
    torch.testing.assert_close(pictures.grad.flatten(), torch.tensor([0.6, 0.0, 0.8, 0.0]))


def test_fewest_frames() -> None:
    net = RealEncoder(1, 1).eval()
    assert net(torch.randn(1, 1, 128, MIN_FRAMES)).shape == (1, 1)
    with pytest.raises(RuntimeError):
        net(torch.randn(1, 1, 128, MIN_FRAMES - 1))
