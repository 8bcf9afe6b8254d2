from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.nets.prelu import MIN_SLOPE, PReLU


def gradients(layer: nn.PReLU, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the gradients of the images before a normalisation and of the slopes."""
    before = images.clone().requires_grad_()
    output = layer(nn.BatchNorm2d(layer.num_parameters)(before))
    (output * weights).sum().backward()
    assert before.grad is not None
    assert layer.weight.grad is not None
    return output.detach(), before.grad, layer.weight.grad


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("slopes", [(0.25, 0.25, 0.25), (0.7, 1.5, MIN_SLOPE), (0.3, 0.0, -0.2)])
def test_output_and_gradients_are_those_of_pytorch(
    slopes: tuple[float, ...], memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 3, 5, 6).contiguous(memory_format=memory_format)
    ours, theirs = PReLU(3), nn.PReLU(3)
    for layer in (ours, theirs):
        layer.weight.data = torch.tensor(slopes)
    weights = torch.randn(4, 3, 5, 6)  # contiguous: gradients need not have the memory format of the images
    for mine, expected in zip(gradients(ours, images, weights), gradients(theirs, images, weights), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_gradients_in_bfloat16_are_those_of_float32_to_its_precision() -> None:
    torch.manual_seed(0)
    images, weights = torch.randn(4, 3, 5, 6), torch.randn(4, 3, 5, 6)
    layer = PReLU(3)
    output, of_images, of_slopes = gradients(layer, images, weights)
    layer.weight.grad = None
    before = images.clone().requires_grad_()
    rounded = layer(nn.BatchNorm2d(3)(before).bfloat16())
    (rounded * weights.bfloat16()).sum().backward()
    assert rounded.dtype is torch.bfloat16
    torch.testing.assert_close(rounded.float(), output, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(before.grad, of_images, rtol=5e-2, atol=5e-2)
    torch.testing.assert_close(layer.weight.grad, of_slopes, rtol=5e-2, atol=0.2)


def test_in_training_it_keeps_its_output_and_not_its_input() -> None:
    torch.manual_seed(0)
    normed = nn.BatchNorm2d(3)(torch.randn(4, 3, 5, 6).requires_grad_())
    output = PReLU(3)(normed)
    assert output.data_ptr() == normed.data_ptr()


@pytest.mark.parametrize("case", ["scoring", "no gradients", "leaf"])
def test_elsewhere_it_leaves_its_input_as_it_is(case: str) -> None:
    torch.manual_seed(0)
    images, layer = torch.randn(4, 3, 5, 6), PReLU(3).train(case != "scoring")
    given = copy.deepcopy(images).requires_grad_(case == "leaf")
    with torch.set_grad_enabled(case != "no gradients"):
        output = layer(given)
    assert torch.equal(given, images)
    assert torch.equal(output, nn.functional.prelu(images, layer.weight))


def test_its_state_is_that_of_pytorch() -> None:
    assert list(PReLU(3).state_dict()) == list(nn.PReLU(3).state_dict())
