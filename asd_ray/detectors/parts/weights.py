"""Pretrained weights from a file of the user: read without running code, checked against the net, named by content."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from safetensors import torch as safetensors
from torch import Tensor

from asd_ray.detectors.nets import mobilenet_v3_names
from asd_ray.errors import AsdRayError, unknown
from asd_ray.families.weights import WEIGHTS_VARIABLE, weights_files

Weights = dict[str, Tensor]  # by the names of our net
Reader = Callable[[Mapping[str, Tensor]], Weights]  # from a published state dict; ValueError if it is of another net

# Net -> how its published weights are read, and whose they are.
READERS: dict[str, tuple[Reader, str]] = {
    "mobilenet_v3": (
        mobilenet_v3_names.from_published,
        "the state dict of torchvision's mobilenet_v3_large or of timm's mobilenetv3_large_100",
    ),
}
DIGITS = 12


@dataclass(frozen=True)
class Pretrained:
    name: str  # ``mobilenet_v3:1a2b3c4d5e6f``: the net, and a hash of its weights
    weights: Weights


def is_pretrained_name(text: str, net: str) -> bool:
    """Whether `text` names weights of this net."""
    return re.fullmatch(rf"{re.escape(net)}:[0-9a-f]{{{DIGITS}}}", text) is not None


def read(net: str, path: str) -> Pretrained:
    """The weights of a net from a file of torch or of safetensors. AsdRayError if it holds anything else."""
    if net not in READERS:
        raise unknown("net with weights of the user", net, READERS)
    reader, expected = READERS[net]
    try:
        weights = reader(_tensors(path))
    except (ValueError, RuntimeError) as error:
        raise AsdRayError(f"{path}: these are not weights of {net}: {error}; give {expected}") from error
    return Pretrained(f"{net}:{_digest(weights)}", weights)


def pretrained_name(net: str, path: str) -> str:
    """What a trial with these weights has as its parameter `pretrained`. An unchanged file is read once per process."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _name_of_version(net, path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _name_of_version(net: str, path: str, changed: int, size: int) -> str:
    return read(net, path).name


def load_weights(name: str, files: Mapping[str, str]) -> Weights:
    """The weights that a trial's parameter `pretrained` names, for `fit`. `files` are those of its `Context`.

    The cause of the AsdRayError for a missing or another file is an OSError: the trial may run on another node.
    """
    net = name.partition(":")[0]
    cure = (
        f"put the file with which the trial was first run at the same path on every node, or name its folder with "
        f"${WEIGHTS_VARIABLE} ({net}.safetensors, .pt or .pth)"
    )
    path = files.get(net) or weights_files().get(net)
    if path is None:
        raise AsdRayError(f"no file of the weights {name} is named; {cure}") from FileNotFoundError(2, "no file", net)
    found = read(net, path)
    if found.name != name:
        why = FileNotFoundError(2, "other content", path)
        raise AsdRayError(f"{path}: it has the weights {found.name}, but the trial needs {name}; {cure}") from why
    return found.weights


def _tensors(path: str) -> Mapping[str, Tensor]:
    """The tensors of a file by name."""
    try:
        if path.endswith(".safetensors"):
            return safetensors.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # a broken file may raise anything in torch, before any code runs
        raise AsdRayError(
            f"{path}: it cannot be read as tensors alone ({type(error).__name__}), and code in such a file is never "
            "run; save the state dict: torch.save(net.state_dict(), path), or safetensors"
        ) from error
    is_state = isinstance(content, Mapping) and content and all(isinstance(name, str) for name in content)
    if not is_state or not all(isinstance(value, Tensor) for value in content.values()):
        raise AsdRayError(
            f"{path}: it holds a {type(content).__name__} that is no state dict, which maps names to tensors; save the "
            "state dict: torch.save(net.state_dict(), path)"
        )
    tensors: Mapping[str, Tensor] = content
    for name, values in tensors.items():
        if values.layout is not torch.strided or values.is_nested or values.is_meta or values.is_complex():
            raise AsdRayError(f"{path}: {name} is no dense tensor of real numbers; save the state dict of the net")
    return tensors


def _unreadable(path: str, error: OSError) -> AsdRayError:
    return AsdRayError(
        f"{path}: the pretrained weights cannot be read ({error.strerror or error}); on a cluster, every node needs "
        "the file at this path"
    )


def _digest(weights: Weights) -> str:
    """A hash of the tensors by name, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:DIGITS]
