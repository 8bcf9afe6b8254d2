from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.nets.mobilefacenet import MobileFaceNet
from asd_ray.detectors.nets.mobilenet_v2 import MobileNetV2
from asd_ray.detectors.nets.mobilenet_v3 import MobileNetV3
from asd_ray.detectors.nets.resnet import ResNet50
from asd_ray.errors import AsdRayError

SMALL: dict[str, Callable[[int], nn.Module]] = {
    "MobileNetV2": MobileNetV2,
    "ResNet-50": ResNet50,
    "MobileNetV3": MobileNetV3,
    "MobileFaceNet 2022": lambda channels: MobileFaceNet(channels, size=(64, 32)),
    "MobileFaceNet 2023": lambda channels: MobileFaceNet(channels, size=(64, 32), table="2023", width=64),
}


def parameters(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_gives_features_and_every_weight_is_trained(name: str, channels: int) -> None:
    torch.manual_seed(0)
    net = SMALL[name](channels)
    images = torch.randn(4, channels, 64, 32)
    features = net(images)
    assert features.shape == (4, net.width)
    features.square().mean().backward()
    for weight, each in net.named_parameters():
        assert each.grad is not None, weight
        assert float(each.grad.abs().max()) > 0, weight
    with torch.no_grad():
        alone, together = net.eval()(images[:1]), net(images)
    assert torch.allclose(alone, together[:1], rtol=1e-3, atol=1e-4 * float(together.abs().max()))


@pytest.mark.parametrize("name", SMALL)
def test_initial_weights_depend_on_the_seed(name: str) -> None:
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(torch.cat([each.detach().flatten() for each in SMALL[name](1).parameters()]))
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


def inverted(inputs: int, hidden: int, outputs: int, *, kernel: int = 3, per_activation: int = 0) -> int:
    """Weights of the three convolutions, two for each normalised channel, and those of the activations."""
    expansion = 0 if hidden == inputs else inputs * hidden + (2 + per_activation) * hidden
    return expansion + kernel**2 * hidden + (2 + per_activation) * hidden + hidden * outputs + 2 * outputs


def test_mobilenet_v2_has_the_parameters_of_the_table_of_giri_et_al() -> None:
    stem, last = 9 * 1 * 16 + 2 * 16, 80 * 2 * 1280 + 2 * 1280
    blocks = (
        inverted(16, 16, 8)
        + inverted(8, 48, 16)
        + inverted(16, 96, 16)
        + inverted(16, 96, 16)
        + 2 * inverted(16, 96, 16)
        + inverted(16, 96, 32)
        + 3 * inverted(32, 192, 32)
        + inverted(32, 192, 48)
        + 2 * inverted(48, 288, 48)
        + inverted(48, 288, 80)
        + 2 * inverted(80, 480, 80)
        + inverted(80, 480, 160)
    )
    assert parameters(MobileNetV2()) == stem + blocks + last
    # known sizes of the networks of 3 channels, minus their 1000 classes
    assert parameters(MobileNetV2(3)) == 1_968_680 - 1_281_000
    assert parameters(MobileNetV2(3, width_factor=1.0)) == 3_504_872 - 1_281_000


def test_resnet_50_has_the_parameters_of_the_paper() -> None:
    def bottleneck(inputs: int, inside: int) -> int:
        return inputs * inside + 9 * inside**2 + 4 * inside**2 + 2 * (2 * inside + 4 * inside)

    def shortcut(inputs: int, outputs: int) -> int:
        return inputs * outputs + 2 * outputs

    manual_step = 49 * 1 * 64 + 2 * 64
    for inputs, inside, blocks in ((64, 64, 3), (256, 128, 4), (512, 256, 6), (1024, 512, 3)):
        manual_step += bottleneck(inputs, inside) + shortcut(inputs, 4 * inside)
        manual_step += (blocks - 1) * bottleneck(4 * inside, inside)
    assert parameters(ResNet50()) == manual_step == 23_501_760
    # the published network has 25,557,032, of which 2,049,000 belong to its 1000 classes
    assert parameters(ResNet50(3)) == 25_557_032 - 2_049_000


def test_mobilenet_v3_has_the_parameters_of_the_paper_and_of_pytorch_image_models() -> None:
    def gate(hidden: int, squeezed: int) -> int:
        return hidden * squeezed + squeezed + squeezed * hidden + hidden

    blocks = (
        inverted(16, 16, 16)
        + inverted(16, 64, 24)
        + inverted(24, 72, 24)
        + (inverted(24, 72, 40, kernel=5) + gate(72, 24))
        + 2 * (inverted(40, 120, 40, kernel=5) + gate(120, 32))
        + inverted(40, 240, 80)
        + inverted(80, 200, 80)
        + 2 * inverted(80, 184, 80)
        + (inverted(80, 480, 112) + gate(480, 120))
        + (inverted(112, 672, 112) + gate(672, 168))
        + (inverted(112, 672, 160, kernel=5) + gate(672, 168))
        + 2 * (inverted(160, 960, 160, kernel=5) + gate(960, 240))
    )
    stem, last = 9 * 1 * 16 + 2 * 16, 160 * 960 + 2 * 960 + 960 * 1280 + 1280
    assert parameters(MobileNetV3()) == stem + blocks + last
    # mobilenetv3_large_100 has 5,483,032, of which 1,281,000 belong to its 1000 classes
    assert parameters(MobileNetV3(3)) == 5_483_032 - 1_281_000


@pytest.mark.parametrize("table", ["2022", "2023"])
def test_mobilefacenet_has_the_parameters_of_the_authors_code(table: str) -> None:
    def block(inputs: int, expansion: int, outputs: int) -> int:
        return inverted(inputs, expansion * inputs, outputs, per_activation=1)

    blocks = {
        "2022": 5 * block(64, 2, 64)
        + block(64, 4, 128)
        + 6 * block(128, 2, 128)
        + block(128, 4, 128)
        + 2 * block(128, 2, 128),
        "2023": block(64, 2, 128) + block(128, 2, 128) + 4 * block(128, 4, 128),
    }
    stem = 9 * 2 * 64 + 3 * 64 + 9 * 64 + 3 * 64
    last = 128 * 512 + 3 * 512 + 8 * 20 * 512 + 2 * 512 + 512 * 128 + 2 * 128
    assert parameters(MobileFaceNet(table=table)) == stem + blocks[table] + last


@pytest.mark.parametrize(("size", "left"), [((128, 313), (8, 20)), ((128, 64), (8, 4)), ((65, 33), (5, 3))])
@pytest.mark.parametrize("table", ["2022", "2023"])
def test_the_last_depthwise_convolution_covers_the_remaining_image(
    size: tuple[int, int], left: tuple[int, int], table: str
) -> None:
    net = MobileFaceNet(2, size=size, table=table)
    kernels = [each.kernel_size for each in net.modules() if isinstance(each, nn.Conv2d) and each.groups == 512]
    assert kernels[-1] == left
    with torch.no_grad():
        assert net.eval()(torch.randn(1, 2, *size)).shape == (1, 128)


def shapes(net: nn.Module, images: Tensor) -> list[tuple[int, ...]]:
    actual = []
    for layer in net.layers:
        images = layer(images)
        actual.append(tuple(images.shape[1:]))
    return actual


@pytest.mark.parametrize(
    ("net", "size", "known"),
    [
        (
            MobileNetV2(),
            (128, 64),
            {0: (16, 64, 32), 1: (8, 64, 32), 3: (16, 32, 16), 6: (16, 16, 8), 10: (32, 8, 4), 13: (48, 8, 4)}
            | {16: (80, 4, 2), 17: (160, 4, 2), 18: (1280, 4, 2)},
        ),
        (
            ResNet50(),
            (128, 64),
            {0: (64, 64, 32), 1: (64, 32, 16), 4: (256, 32, 16), 8: (512, 16, 8), 14: (1024, 8, 4), 17: (2048, 4, 2)},
        ),
        (
            MobileNetV3(2),
            (128, 313),
            {0: (16, 64, 157), 3: (24, 32, 79), 6: (40, 16, 40), 10: (80, 8, 20), 12: (112, 8, 20)}
            | {15: (160, 4, 10), 16: (960, 4, 10), 18: (1280, 1, 1)},
        ),
        (
            MobileFaceNet(2),
            (128, 313),
            {0: (64, 64, 157), 1: (64, 64, 157), 6: (64, 32, 79), 7: (128, 16, 40), 13: (128, 16, 40)}
            | {14: (128, 8, 20), 16: (128, 8, 20), 17: (512, 8, 20), 18: (512, 1, 1), 19: (128, 1, 1)},
        ),
    ],
    ids=["MobileNetV2", "ResNet-50", "MobileNetV3", "MobileFaceNet"],
)
def test_layers_have_the_output_shapes_of_the_papers(
    net: nn.Module, size: tuple[int, int], known: dict[int, tuple[int, ...]]
) -> None:
    channels = next(each.in_channels for each in net.modules() if isinstance(each, nn.Conv2d))
    with torch.no_grad():
        actual = shapes(net.eval(), torch.randn(1, channels, *size))
    assert {layer: actual[layer] for layer in known} == known


def test_the_stride_is_in_the_first_convolution_of_a_resnet_block() -> None:
    block = ResNet50().layers[5]  # the first of the second stage
    strides = [each.stride[0] for each in block.layers.modules() if isinstance(each, nn.Conv2d)]
    assert strides == [2, 1, 1]


def test_mobilefacenet_rejects_images_of_another_size() -> None:
    with pytest.raises(AsdRayError, match="images of 64 × 32 but got 64 × 33"):
        MobileFaceNet(1, size=(64, 32))(torch.randn(2, 1, 64, 33))
    with pytest.raises(AsdRayError, match="unknown table '2021'.*2022, 2023"):
        MobileFaceNet(table="2021")
