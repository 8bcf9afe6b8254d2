from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.nets import dcgan
from asd_ray.errors import AsdRayError

# 4×4 weights between 1, 32, 64, 128, 256, 512 channels, and of the last convolution, 512 -> 256
CONVOLUTIONS = 512 + 32_768 + 131_072 + 524_288 + 2_097_152 + 2_097_152
# a weight and a bias for each of 32·64², 64·32², 128·16², 256·8² and 512·4² values
LAYER_NORMS = 2 * (131_072 + 65_536 + 32_768 + 16_384 + 8_192)
BATCH_NORMS = 2 * (32 + 64 + 128 + 256 + 512)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def parameters(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


def shapes(net: nn.Sequential, inputs: Tensor) -> list[tuple[int, ...]]:
    """Output shapes of each convolution of `net` for one image, without the batch."""
    actual = []
    for layer in net.eval():
        inputs = layer(inputs)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            actual.append(tuple(inputs.shape[1:]))
    return actual


@pytest.mark.parametrize(
    ("norm", "first_norm", "norms"),
    [
        ("layer", True, LAYER_NORMS),
        ("layer", False, LAYER_NORMS - 2 * 131_072),
        ("batch", True, BATCH_NORMS),
        ("batch", False, BATCH_NORMS - 2 * 32),
    ],
)
def test_an_encoder_has_the_expected_parameters(norm: str, first_norm: bool, norms: int) -> None:
    assert parameters(dcgan.encoder(128, 32, 256, norm=norm, first_norm=first_norm)) == CONVOLUTIONS + norms


@pytest.mark.parametrize(("norm", "norms"), [("layer", LAYER_NORMS), ("batch", BATCH_NORMS)])
def test_a_decoder_is_the_mirror_image(norm: str, norms: int) -> None:
    assert parameters(dcgan.decoder(128, 32, 256, norm=norm)) == CONVOLUTIONS + norms


def test_images_are_halved_to_a_code_and_doubled_back() -> None:
    sides = [(32, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert shapes(dcgan.encoder(128, 32, 256), torch.randn(1, 1, 128, 128)) == [*sides, (256, 1, 1)]
    assert shapes(dcgan.decoder(128, 32, 256), torch.randn(1, 256, 1, 1)) == [*sides[::-1], (1, 128, 128)]


def test_the_order_of_layers() -> None:
    block = ["Conv2d", "ImageNorm", "LeakyReLU"]
    assert [type(each).__name__ for each in dcgan.trunk(16, 2)] == block * 2
    assert [type(each).__name__ for each in dcgan.trunk(16, 2, first_norm=False)] == ["Conv2d", "LeakyReLU", *block]
    upwards = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    assert [type(each).__name__ for each in dcgan.decoder(16, 2, 3, norm="batch")] == [
        *(upwards * 2),
        "ConvTranspose2d",
        "Tanh",
    ]


def test_the_nets_of_ganomaly_have_the_expected_shapes() -> None:
    """ngf 64, nz 100, images of 32: 64, 128, 256 channels, batch normalisation except after the first convolution."""
    net = dcgan.encoder(32, 64, 100, norm="batch", first_norm=False)
    assert shapes(net, torch.randn(2, 1, 32, 32)) == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (100, 1, 1)]
    assert parameters(net) == 16 * (64 + 64 * 128 + 128 * 256 + 256 * 100) + 2 * (128 + 256)
    assert dcgan.trunk(32, 64, norm="batch")(torch.randn(2, 1, 32, 32)).shape == (2, dcgan.width(32, 64), 4, 4)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_layer_normalisation_covers_the_whole_image_in_either_memory_format(order: torch.memory_format) -> None:
    norm, images = dcgan.ImageNorm(3, 4), torch.randn(5, 3, 4, 4)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    deviation = (images.var((1, 2, 3), correction=0, keepdim=True) + norm.eps).sqrt()
    expected = (images - images.mean((1, 2, 3), keepdim=True)) / deviation * norm.weight + norm.bias
    actual = norm(images.contiguous(memory_format=order))
    torch.testing.assert_close(actual, expected)
    assert actual.is_contiguous(memory_format=order)


def test_initial_weights() -> None:
    net = nn.ModuleList([dcgan.encoder(32, 32, 16, norm="batch"), dcgan.decoder(32, 32, 16), nn.Linear(64, 64)])
    linear = net[2].weight.clone()
    dcgan.initialise(net)
    for each in net.modules():
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d):
            assert abs(float(each.weight.detach().mean())) < 0.004
            assert float(each.weight.detach().std()) == pytest.approx(0.02, rel=0.2)
        elif isinstance(each, nn.BatchNorm2d):
            assert float(each.weight.detach().mean()) == pytest.approx(1, abs=0.02)
            assert 0.01 < float(each.weight.detach().std()) < 0.03
        elif isinstance(each, dcgan.ImageNorm):
            assert (each.weight == 1).all()
    assert torch.equal(net[2].weight, linear)


@pytest.mark.parametrize("size", [0, 4, 12, 100])
def test_a_side_that_cannot_be_halved_is_rejected(size: int) -> None:
    with pytest.raises(AsdRayError, match=f"must be 8, 16, 32, 64, 128 … but got {size}"):
        dcgan.encoder(size, 4, 4)


def test_an_unknown_norm_is_rejected() -> None:
    with pytest.raises(AsdRayError, match="norm must be one of layer, batch but got 'instance'"):
        dcgan.decoder(8, 4, 4, norm="instance")
