"""MobileNetV3-large as torchvision and timm publish it, with random numbers in place of those of ImageNet.

Names, shapes and the forward pass are written out here, independently of the code under test. They were compared once
with `torchvision.models.mobilenet_v3_large` (0.28) and timm's `mobilenetv3_large_100` (1.0.31): the same 312 names and
shapes each, and the same outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, hardsigmoid, hardswish, relu

# kernel, channels into the block, hidden, out, width of squeeze-and-excitation (0: none), of each of timm's stages
BLOCKS = (
    ((3, 16, 16, 16, 0),),
    ((3, 16, 64, 24, 0), (3, 24, 72, 24, 0)),
    ((5, 24, 72, 40, 24), (5, 40, 120, 40, 32), (5, 40, 120, 40, 32)),
    ((3, 40, 240, 80, 0), (3, 80, 200, 80, 0), (3, 80, 184, 80, 0), (3, 80, 184, 80, 0)),
    ((3, 80, 480, 112, 120), (3, 112, 672, 112, 168)),
    ((5, 112, 672, 160, 168), (5, 160, 960, 160, 240), (5, 160, 960, 160, 240)),
)


class _Published:
    def __init__(self, seed: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._draw = torch.Generator().manual_seed(seed)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._draw) / 10

    def conv(self, name: str, outputs: int, inputs: int, kernel: int = 1, *, bias: bool = False) -> None:
        self.tensors[f"{name}.weight"] = self.random(outputs, inputs, kernel, kernel)
        if bias:
            self.tensors[f"{name}.bias"] = self.random(outputs)

    def linear(self, name: str, outputs: int, inputs: int) -> None:
        self.tensors |= {f"{name}.weight": self.random(outputs, inputs), f"{name}.bias": self.random(outputs)}

    def norm(self, name: str, channels: int) -> None:
        self.tensors |= {
            f"{name}.weight": 1 + self.random(channels),
            f"{name}.bias": self.random(channels),
            f"{name}.running_mean": self.random(channels),
            f"{name}.running_var": (1 + self.random(channels)).abs(),
            f"{name}.num_batches_tracked": torch.tensor(7),
        }


def torchvision_state(seed: int = 0) -> dict[str, Tensor]:
    net = _Published(seed)
    net.conv("features.0.0", 16, 3, 3)
    net.norm("features.0.1", 16)
    for number, (kernel, inputs, hidden, outputs, squeezed) in enumerate((b for stage in BLOCKS for b in stage), 1):
        at, block = 0, f"features.{number}.block"
        if number > 1:
            net.conv(f"{block}.0.0", hidden, inputs)
            net.norm(f"{block}.0.1", hidden)
            at = 1
        net.conv(f"{block}.{at}.0", hidden, 1, kernel)
        net.norm(f"{block}.{at}.1", hidden)
        if squeezed:
            at += 1
            net.conv(f"{block}.{at}.fc1", squeezed, hidden, bias=True)
            net.conv(f"{block}.{at}.fc2", hidden, squeezed, bias=True)
        net.conv(f"{block}.{at + 1}.0", outputs, hidden)
        net.norm(f"{block}.{at + 1}.1", outputs)
    net.conv("features.16.0", 960, 160)
    net.norm("features.16.1", 960)
    net.linear("classifier.0", 1280, 960)
    net.linear("classifier.3", 1000, 1280)
    return net.tensors


def timm_state(seed: int = 0) -> dict[str, Tensor]:
    net = _Published(seed)
    net.conv("conv_stem", 16, 3, 3)
    net.norm("bn1", 16)
    for stage, blocks in enumerate(BLOCKS):
        for number, (kernel, inputs, hidden, outputs, squeezed) in enumerate(blocks):
            block = f"blocks.{stage}.{number}"
            if stage == 0:  # depthwise separable, without an expansion
                net.conv(f"{block}.conv_dw", hidden, 1, kernel)
                net.norm(f"{block}.bn1", hidden)
                net.conv(f"{block}.conv_pw", outputs, hidden)
                net.norm(f"{block}.bn2", outputs)
                continue
            net.conv(f"{block}.conv_pw", hidden, inputs)
            net.norm(f"{block}.bn1", hidden)
            net.conv(f"{block}.conv_dw", hidden, 1, kernel)
            net.norm(f"{block}.bn2", hidden)
            if squeezed:
                net.conv(f"{block}.se.conv_reduce", squeezed, hidden, bias=True)
                net.conv(f"{block}.se.conv_expand", hidden, squeezed, bias=True)
            net.conv(f"{block}.conv_pwl", outputs, hidden)
            net.norm(f"{block}.bn3", outputs)
    net.conv("blocks.6.0.conv", 960, 160)
    net.norm("blocks.6.0.bn1", 960)
    net.conv("conv_head", 1280, 960, bias=True)
    net.linear("classifier", 1000, 1280)
    return net.tensors


STATES = {"torchvision": torchvision_state, "timm": timm_state}
EPS = {"torchvision": 1e-3, "timm": 1e-5}  # of their normalisations


def published_forward(style: str, tensors: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Images of three colours -> the 1280 features before the classifier, as the published net computes them."""

    def conv_norm(values: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = tensors[f"{conv}.weight"]
        groups = values.shape[1] // weight.shape[1]
        values = conv2d(values, weight, None, stride, weight.shape[-1] // 2, groups=groups)
        own = [tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(values, *own, eps=EPS[style])

    def conv(values: Tensor, name: str) -> Tensor:
        weight = tensors[f"{name}.weight"]
        return conv2d(values, weight.view(*weight.shape[:2], 1, 1), tensors[f"{name}.bias"])

    first, last, wide = {
        "torchvision": (("features.0.0", "features.0.1"), ("features.16.0", "features.16.1"), "classifier.0"),
        "timm": (("conv_stem", "bn1"), ("blocks.6.0.conv", "blocks.6.0.bn1"), "conv_head"),
    }[style]
    values = hardswish(conv_norm(images, *first, stride=2))
    for names, has_expansion, has_hard_swish, stride in _block_names(style):
        activation, before = hardswish if has_hard_swish else relu, values
        if has_expansion:
            values = activation(conv_norm(values, *names["expand"]))
        values = activation(conv_norm(values, *names["depthwise"], stride=stride))
        if "squeeze" in names:
            gate = relu(conv(values.mean((2, 3), keepdim=True), names["squeeze"][0]))
            values = values * hardsigmoid(conv(gate, names["squeeze"][1]))
        values = conv_norm(values, *names["project"])
        if values.shape == before.shape:
            values = values + before
    values = hardswish(conv_norm(values, *last)).mean((2, 3), keepdim=True)
    return hardswish(conv(values, wide)).flatten(1)


def _block_names(style: str) -> Iterator[tuple[dict[str, tuple[str, str]], bool, bool, int]]:
    """The names of each block's convolutions and normalisations, and what its kernels do not show."""
    number = 0
    for stage, blocks in enumerate(BLOCKS):
        for place, (_, _, _, _, squeezed) in enumerate(blocks):
            number += 1
            has_expansion, stride = number > 1, 2 if place == 0 and stage in (1, 2, 3, 5) else 1
            if style == "torchvision":
                block, at = f"features.{number}.block", int(has_expansion)
                names = {"expand": (f"{block}.0.0", f"{block}.0.1")} if has_expansion else {}
                names["depthwise"] = (f"{block}.{at}.0", f"{block}.{at}.1")
                if squeezed:
                    at += 1
                    names["squeeze"] = (f"{block}.{at}.fc1", f"{block}.{at}.fc2")
                names["project"] = (f"{block}.{at + 1}.0", f"{block}.{at + 1}.1")
            else:
                block, norm = f"blocks.{stage}.{place}", 1 + has_expansion
                names = {"expand": (f"{block}.conv_pw", f"{block}.bn1")} if has_expansion else {}
                names["depthwise"] = (f"{block}.conv_dw", f"{block}.bn{norm}")
                if squeezed:
                    names["squeeze"] = (f"{block}.se.conv_reduce", f"{block}.se.conv_expand")
                project = f"{block}.conv_pwl" if has_expansion else f"{block}.conv_pw"
                names["project"] = (project, f"{block}.bn{norm + 1}")
            yield names, has_expansion, stage >= 3, stride
