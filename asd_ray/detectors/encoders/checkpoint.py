"""Checkpoints of nets that one package builds: a config and weights, read without running code, and put into a net."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from asd_ray.detectors.parts.weights import is_dense, read_content
from asd_ray.errors import AsdRayError

Config = dict[str, Any]
Weights = dict[str, Tensor]
Plain = (bool, int, float, str, type(None))
Net = TypeVar("Net", bound=nn.Module)
MISFITS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)  # of a package with a wrong config


def read_checkpoint(path: str, config_key: str, expected: str) -> tuple[Config, Weights]:
    """The config and the weights of a file: ``{config_key: {…}, "model": {…}}``, or a state dict alone with config {}.

    A file of safetensors has the config as JSON in its metadata, under the same key. Weights are float32.
    """
    content = read_content(path, f"give {expected}, of plain values and tensors alone (docs/encoders.md shows how)")
    if path.endswith(".safetensors"):
        config: Any = _metadata(path, config_key)
    else:
        if not isinstance(content, Mapping):
            raise _another(path, f"it holds a {type(content).__name__}", expected)
        config, content = content.get(config_key, {}), content.get("model", content)
    if not isinstance(config, Mapping):
        raise _another(path, f"its {config_key!r} is a {type(config).__name__}, no dictionary", expected)
    if not isinstance(content, Mapping):
        raise _another(path, f"its 'model' is a {type(content).__name__}, no dictionary of tensors", expected)
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise _another(path, "it has no tensors", expected)
    for name, values in weights.items():
        if not is_dense(values):
            raise _another(path, f"{name} is no dense tensor of real numbers", expected)
        weights[name] = values.float() if values.is_floating_point() else values
    return {str(name): value for name, value in config.items() if _is_plain(value)}, weights


def without_prefix(weights: Weights, known: str, prefixes: tuple[str, ...]) -> Weights:
    """The weights of the part of a larger net that has the tensor `known`. They are as they were if no prefix fits."""
    for prefix in ("", *prefixes):
        if prefix + known in weights:
            return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
    return weights


def blocks_of(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many blocks of a net the weights have, such as ``blocks.0.norm1.weight`` for the prefix ``blocks.``."""
    numbers = {name[len(prefix) :].partition(".")[0] for name in weights if name.startswith(prefix)}
    return len({number for number in numbers if number.isdecimal()})


def filled(build: Callable[[], Net], weights: Weights, path: str, expected: str, unused: tuple[str, ...] = ()) -> Net:
    """A net with these weights. Tensors that the net lacks are left out; `unused` begin names that may be missing.

    The random numbers of the process stay as they are, and what the package prints is not shown.
    """
    with explained(path, expected), torch.random.fork_rng(devices=[]), quiet():
        net = build()
        missing = sorted(set(net.state_dict()) - set(weights))
        missing = [name for name in missing if not name.startswith(unused)]
        if missing:
            raise _another(path, f"it lacks {len(missing)} tensors, such as {missing[0]}", expected)
        nn.Module.load_state_dict(net, weights, strict=False)
    return net


@contextlib.contextmanager
def explained(path: str, expected: str) -> Iterator[None]:
    """One message for what a package raises if a config or weights are not those of its net."""
    try:
        yield
    except (*MISFITS, AssertionError, ArithmeticError, MemoryError) as error:
        raise _another(path, f"{type(error).__name__}: {error}", expected) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what a package prints, and without its warnings that it uses torch in an old way."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _another(path: str, why: str, expected: str) -> AsdRayError:
    return AsdRayError(f"{path}: it is no such encoder: {why:.300}; give {expected}")


def _metadata(path: str, key: str) -> Any:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(key, "{}")
        return json.loads(text)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise AsdRayError(f"{path}: the metadata {key!r} cannot be read ({error}); write it with json.dumps") from error


def _is_plain(value: Any) -> bool:
    return isinstance(value, Plain) or (
        isinstance(value, list | tuple) and all(isinstance(item, Plain) for item in value)
    )


def by_step(outputs: list[Tensor], bands: int) -> list[Tensor]:
    """Tokens of each block, [n, bands · steps, width], in the order of steps: [n, steps · bands, width]."""
    by_band = [tokens.reshape(len(tokens), bands, -1, tokens.shape[2]) for tokens in outputs]
    return [tokens.transpose(1, 2).flatten(1, 2) for tokens in by_band]
