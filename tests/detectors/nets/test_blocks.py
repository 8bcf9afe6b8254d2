from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from asd_ray.detectors.nets import blocks


@pytest.mark.parametrize(("channels", "rounded"), [(16.0, 16), (12.0, 16), (48.0, 48), (18.0, 24), (30.0, 32), (3, 8)])
def test_widths_are_rounded_as_the_mobilenets_do(channels: float, rounded: int) -> None:
    assert blocks.divisible(channels) == rounded


@pytest.mark.parametrize("size", [(128, 313), (64, 32), (7, 1)])
def test_halved_is_the_output_size_of_a_padded_convolution_of_stride_2(size: tuple[int, int]) -> None:
    images = torch.zeros(1, 1, *size)
    for times, kernel in enumerate((3, 5, 3), 1):
        images = blocks.conv_norm(1, 1, kernel, 2).eval()(images)
        assert blocks.halved(size, times) == tuple(images.shape[2:])


@pytest.mark.parametrize(("stride", "outputs", "adds"), [(1, 4, True), (2, 4, False), (1, 6, False)])
def test_the_input_is_added_if_the_shape_stays_the_same(stride: int, outputs: int, adds: bool) -> None:
    block = blocks.InvertedResidual(4, 8, outputs, 3, stride, blocks.relu).eval()
    nn.init.zeros_(block.layers[-1][0].weight)
    images = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        result = block(images)
    assert result.shape == (2, outputs, 6 // stride, 6 // stride)
    assert torch.equal(result, images) if adds else float(result.abs().max()) == 0


def test_squeeze_excite_gates_channels_by_their_means() -> None:
    squeeze = blocks.SqueezeExcite(3, 2)
    nn.init.zeros_(squeeze.gate[2].weight)
    squeeze.gate[2].bias.data = torch.tensor([-9.0, 0.0, 9.0])
    images = torch.randn(2, 3, 4, 4)
    assert torch.allclose(squeeze(images), images * torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1))


@pytest.mark.parametrize(("per_group", "outputs"), [(False, 512), (True, 1)])
def test_initial_weights_have_the_specified_deviation(per_group: bool, outputs: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(512, 512, 5, groups=512)
    blocks.normal_by_outputs(conv, per_group=per_group)
    assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / (25 * outputs)), rel=0.03)
    assert conv.bias is not None
    assert float(conv.bias.detach().abs().max()) == 0
    blocks.glorot(conv)
    assert float(conv.weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / (25 + 25 * 512)), rel=0.01)
