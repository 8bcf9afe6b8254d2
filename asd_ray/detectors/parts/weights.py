"""Pretrained weights from a file of the user: read without running code, checked against the net, named by content."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import torch as safetensors
from torch import Tensor

from asd_ray.detectors.nets import mobilenet_v3_names
from asd_ray.errors import AsdRayError, unknown
from asd_ray.families.weights import WEIGHTS_VARIABLE, places_of

Weights = dict[str, Tensor]  # by the names of our net
Content = TypeVar("Content")
Reader = Callable[[Mapping[str, Tensor]], Weights]  # from a published state dict; ValueError if it is of another net

# Net -> how its published weights are read, and whose they are.
READERS: dict[str, tuple[Reader, str]] = {
    "mobilenet_v3": (
        mobilenet_v3_names.from_published,
        "the state dict of torchvision's mobilenet_v3_large or of timm's mobilenetv3_large_100",
    ),
}
DIGITS = 12
STATE_DICT = "save the state dict: torch.save(net.state_dict(), path), or safetensors"


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
        return _name_of_version(net, path, version(path))
    except OSError as error:
        raise unreadable(path, error) from error


def version(path: str | Path) -> tuple[int, ...]:
    """What changes when a file changes, without reading it."""
    status = os.stat(path)
    return status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _name_of_version(net: str, path: str, _: tuple[int, ...]) -> str:
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

    def found(path: str) -> tuple[str, Weights]:
        content = read(net, path)
        return content.name, content.weights

    return named_content(name, files, found, "weights", cure)


def named_content(
    name: str, files: Mapping[str, str], found: Callable[[str], tuple[str, Content]], what: str, cure: str
) -> Content:
    """Of the paths where the net may lie, the content of the first that has the `name`; `found` gives both of a path.

    If none has it, the AsdRayError is about the first path.
    """
    net, first = name.partition(":")[0], None
    for path in places_of(net, files):
        try:
            own, content = found(path)
        except AsdRayError as error:
            first = first or error
            continue
        if own == name:
            return content
        if first is None:
            first = AsdRayError(f"{path}: it holds {own}, but {name} is needed; {cure}")
            first.__cause__ = FileNotFoundError(2, "other content", path)
    if first is not None:
        raise first
    why = FileNotFoundError(2, "no file", net)
    raise AsdRayError(f"no file of the {what} {name} is named; {cure}") from why


def read_content(path: str, cure: str = STATE_DICT) -> Any:
    """What a file of torch or of safetensors holds, read without running code. `cure` says what to save instead."""
    try:
        if path.endswith(".safetensors"):
            return safetensors.load_file(path)
        _check_archive(path)
        with warnings.catch_warnings(action="ignore"):  # about the version of a pickle, before it is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise unreadable(path, error) from error
    except AsdRayError:
        raise
    except Exception as error:  # a broken file may raise anything in torch, before any code runs
        raise AsdRayError(
            f"{path}: it cannot be read as tensors alone ({type(error).__name__}), and code in such a file is never "
            f"run; {cure}"
        ) from error


def is_dense(values: Tensor) -> bool:
    """Whether these are real numbers that the file has all. A small file may name an expanded tensor of any size."""
    if values.layout is not torch.strided or values.is_nested or values.is_meta or values.is_complex():
        return False
    return values.numel() * values.element_size() <= values.untyped_storage().nbytes()


def unreadable(path: str, error: OSError) -> AsdRayError:
    return AsdRayError(
        f"{path}: the pretrained weights cannot be read ({error.strerror or error}); on a cluster, every node needs "
        "them at this path"
    )


def _check_archive(path: str) -> None:
    """Raise for an archive that is larger in memory than on the disk: torch.save never compresses."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        items = archive.infolist()
    is_stored = all(item.compress_type == zipfile.ZIP_STORED for item in items)
    if not is_stored or sum(item.file_size for item in items) > os.path.getsize(path):
        raise AsdRayError(f"{path}: it is a compressed archive, which torch.save never makes; save the weights again")


def _tensors(path: str) -> Mapping[str, Tensor]:
    """The tensors of a file by name."""
    content = read_content(path)
    is_state = isinstance(content, Mapping) and content and all(isinstance(name, str) for name in content)
    if not is_state or not all(isinstance(value, Tensor) for value in content.values()):
        raise AsdRayError(
            f"{path}: it holds a {type(content).__name__} that is no state dict, which maps names to tensors; save the "
            "state dict: torch.save(net.state_dict(), path)"
        )
    tensors: Mapping[str, Tensor] = content
    for name, values in tensors.items():
        if not is_dense(values):
            raise AsdRayError(f"{path}: {name} is no dense tensor of real numbers; save the state dict of the net")
    return tensors


def _digest(weights: Weights) -> str:
    """A hash of the tensors by name, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:DIGITS]
