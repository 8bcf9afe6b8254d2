"""What a detector has learned, as one safetensors file: its tensors, and all else as JSON in the file's metadata.

Nothing in such a file is code, and reading it runs none. A state may hold tensors, numbers, text, None, and
dictionaries, lists and tuples of these: what ``torch.load(weights_only=True)`` reads, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from asd_ray._json import loads
from asd_ray.detectors._base import State
from asd_ray.errors import AsdRayError

FORMAT = "asd_ray-state/1"
KEYS = (str, int, float, bool, type(None))  # of dictionaries in a state
DEEPEST = 12  # levels of dictionaries and lists
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_bytes(state: State, about: Mapping[str, Any]) -> bytes:
    """The file of a state. `about` is JSON that says whose state it is. AsdRayError for what a file cannot hold."""
    tensors: dict[str, Tensor] = {}
    metadata = {"format": FORMAT, "about": dict(about), "state": _tree(state, tensors, "state", 0)}
    text = json.dumps(metadata, allow_nan=False)
    loads(text, "a state")  # raises for what could not be read again
    return safetensors.save(tensors, {"asd_ray": text})


def from_bytes(content: bytes, where: str) -> tuple[State, dict[str, Any]]:
    """The state and `about` of a file's content; `where` names the file in the message of an AsdRayError."""
    try:
        tensors = safetensors.load(content)
        length = int.from_bytes(content[:8], "little")
        header = loads(content[8 : 8 + length], where)
        stored = loads(header["__metadata__"]["asd_ray"].encode(), where)
        if stored["format"] != FORMAT:
            raise AsdRayError(f"{where}: its format is {stored['format']!r:.60} but must be {FORMAT!r}; update asd_ray")
        state, about = _value(stored["state"], tensors), stored["about"]
        if not isinstance(state, dict) or not isinstance(about, dict):
            raise TypeError("its parts are not dictionaries")
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise AsdRayError(f"{where}: this is not the state of a detector ({error}); train it again") from error
    return state, about


def _tree(value: Any, tensors: dict[str, Tensor], place: str, depth: int) -> Any:
    """`value` as JSON: one-key objects for what JSON lacks. Tensors are added to `tensors`."""
    if depth > DEEPEST:
        raise AsdRayError(f"{place:.80} of a state is nested more than {DEEPEST} levels deep")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Tensor):
        return _stored_tensor(value, tensors)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if isinstance(value, Mapping):
        bad = next((key for key in value if not isinstance(key, KEYS)), None)
        if bad is not None:
            raise AsdRayError(f"{place} of a state has a key of type {type(bad).__name__}; use text or numbers")
        pairs = [[key, _tree(item, tensors, f"{place}/{key}", depth + 1)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_tree(item, tensors, f"{place}/{number}", depth + 1) for number, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    raise AsdRayError(
        f"{place} of a state is of type {type(value).__name__}; a state holds tensors, numbers, text, None, and "
        "dictionaries, lists and tuples of these"
    )


def _stored_tensor(value: Tensor, tensors: dict[str, Tensor]) -> dict[str, str]:
    name = str(len(tensors))
    plain = value.detach().cpu()
    if plain.is_sparse or plain.is_quantized:
        raise AsdRayError(f"a state holds a tensor of layout {plain.layout}; store a dense one")
    is_complex = plain.is_complex()
    plain = torch.view_as_real(plain.resolve_conj()) if is_complex else plain
    tensors[name] = plain.contiguous().clone()  # a clone, because two tensors of a file must not share memory
    return {"complex" if is_complex else "tensor": name}


def _value(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "complex":
        return torch.view_as_complex(tensors[content])
    if kind == "float":
        return NOT_FINITE[content]
    if kind == "dict":
        return {key: _value(item, tensors) for key, item in content}
    if kind not in ("list", "tuple"):
        raise ValueError(f"it has a value of the unknown kind {kind!r:.40}")
    items = [_value(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
