"""MobileNetV3-large as others publish it: the names of its tensors in torchvision and in PyTorch Image Models (timm).

Their nets are `torchvision.models.mobilenet_v3_large` and `timm.create_model("mobilenetv3_large_100")`. Both have three
input channels and end in a classifier of 1000 classes, which is not read. timm's ``tf_mobilenetv3_large_100`` has the
same names and shapes as the second, but pads otherwise; its weights cannot be told apart, and do not belong here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from asd_ray.detectors.nets.mobilenet_v3 import TABLE, MobileNetV3

STAGES = (1, 2, 3, 4, 2, 3)  # blocks of each stage of timm's net
COLOURS = 3
FIRST = {"torchvision": "features.0.0.weight", "timm": "conv_stem.weight"}  # the names that tell them apart
CLASSES = {"torchvision": ("classifier.3.",), "timm": ("classifier.",)}
COUNTER = ".num_batches_tracked"  # of a normalisation; only training without momentum needs it
# torchvision's normalisation adds more to a variance than ours and timm's. The difference is added to its variances.
EXTRA_VARIANCE = {"torchvision": 1e-3 - 1e-5, "timm": 0.0}
VARIANCE = ".running_var"
SHOWN = 3  # names of a message


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `MobileNetV3(3)`, by its own names, from a state dict of torchvision's or timm's net.

    ValueError if it is another net: the message names the first tensors that do not fit.
    """
    style = next((style for style, first in FIRST.items() if first in tensors), None)
    if style is None:
        raise ValueError(f"it has neither {FIRST['torchvision']} (torchvision) nor {FIRST['timm']} (timm)")
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in MobileNetV3(COLOURS).state_dict().items()}
    names = {name: own for name, own in _names(style, shapes)}
    _must_fit(tensors, style, {own: _published_shape(own, shapes[name]) for name, own in names.items()})
    weights = {name: tensors[own].detach().float().reshape(shapes[name]) for name, own in names.items()}
    for name in weights:
        if name.endswith(VARIANCE):
            weights[name] = weights[name] + EXTRA_VARIANCE[style]
    if broken := [names[name] for name, values in weights.items() if not bool(values.isfinite().all())]:
        raise ValueError(f"not all numbers of {_first(broken)} are finite")
    if broken := [names[name] for name in weights if name.endswith(VARIANCE) and bool((weights[name] < 0).any())]:
        raise ValueError(f"variances are negative: {_first(broken)}")
    return weights


def _must_fit(tensors: Mapping[str, Tensor], style: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    problems = []
    if missing := [name for name in shapes if name not in tensors]:
        problems.append(f"it lacks {_first(missing)}")
    found = {name: tuple(tensors[name].shape) for name in shapes if name in tensors}
    if wrong := [
        f"{name} {list(found[name])} for {list(shapes[name])}" for name in found if found[name] != shapes[name]
    ]:
        problems.append(f"it has the shapes {_first(wrong)}")
    ignored = CLASSES[style]
    if extra := [
        name for name in tensors if name not in shapes and not name.startswith(ignored) and not name.endswith(COUNTER)
    ]:
        problems.append(f"the net does not have {_first(extra)}")
    if problems:
        raise ValueError(f"by its names it is {style}'s, but {'; '.join(problems)}")


def _first(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _published_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """torchvision's last layer is a linear one, and ours a convolution of one pixel, as in timm."""
    return shape[:2] if name == "classifier.0.weight" else shape


def _names(style: str, own: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Our name and the published one of every tensor but the counters."""
    at = ("torchvision", "timm").index(style)
    modules = {ours: published[at] for ours, *published in _modules()}
    for name in own:
        if not name.endswith(COUNTER):
            module, _, kind = name.rpartition(".")
            yield name, f"{modules[module]}.{kind}"


def _modules() -> Iterator[tuple[str, str, str]]:
    """Every convolution and normalisation: our name, torchvision's and timm's."""
    yield "layers.0.0", "features.0.0", "conv_stem"
    yield "layers.0.1", "features.0.1", "bn1"
    channels = 16
    places = [(stage, number) for stage, blocks in enumerate(STAGES) for number in range(blocks)]
    for block, ((stage, number), row) in enumerate(zip(places, TABLE, strict=True), 1):
        _, hidden, outputs, has_squeeze, _, _ = row
        last = "conv_pw" if hidden == channels else "conv_pwl"
        parts = [*(["conv_pw"] if hidden != channels else []), "conv_dw", *(["se"] if has_squeeze else []), last]
        norms = 0
        for at, part in enumerate(parts):
            ours, theirs = f"layers.{block}.layers.{at}", f"features.{block}.block.{at}"
            if part == "se":
                yield f"{ours}.gate.0", f"{theirs}.fc1", f"blocks.{stage}.{number}.se.conv_reduce"
                yield f"{ours}.gate.2", f"{theirs}.fc2", f"blocks.{stage}.{number}.se.conv_expand"
                continue
            norms += 1
            yield f"{ours}.0", f"{theirs}.0", f"blocks.{stage}.{number}.{part}"
            yield f"{ours}.1", f"{theirs}.1", f"blocks.{stage}.{number}.bn{norms}"
        channels = outputs
    after = len(TABLE) + 1
    yield f"layers.{after}.0", f"features.{after}.0", f"blocks.{len(STAGES)}.0.conv"
    yield f"layers.{after}.1", f"features.{after}.1", f"blocks.{len(STAGES)}.0.bn1"
    yield f"layers.{after + 2}", "classifier.0", "conv_head"
