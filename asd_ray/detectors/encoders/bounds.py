"""How much memory a program of torch.export may take: its operations are tried on sizes alone before they run.

A small file can ask for any amount of memory: tensors of declared sizes, repetitions, lists that double with each step,
powers of whole numbers. So numbers stay numbers of 64 bits, and an operation on tensors runs first on the device
"meta", where tensors have a size and no values. What it would take, and what earlier operations still hold, must fit
into `Room`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

GIB = 1 << 30
FIXED, PER_CLIP = 1 * GIB, 1 * GIB  # bytes. Twelve layers of AST-base take 0.2 GiB at once for a clip of 10 s
LARGEST_NUMBER = 1 << 63  # of sizes
MOST_EXPONENT = 64
PLACE = 8  # bytes of a whole number, of which a list of places has one per dimension
MASKS = (torch.bool, torch.uint8)  # as an index: the places of what is not zero
# Operations whose result has a size that depends on values; `_most_bytes` knows its limit. All others that cannot be
# tried on sizes are refused.
BY_VALUES = ("_local_scalar_dense", "item", "nonzero", "masked_select", "index", "is_nonzero", "equal")


class NotReadable(ValueError):
    """What is wrong with a program, or not safe in it."""


def of_numbers(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """An operation on sizes that takes numbers alone, and gives one of 64 bits: no text, and no list that grows."""

    def checked(*args: Any) -> Any:
        numbers = args[0] if name == "sym_sum" else args  # a list times a number would be made before it is refused
        if not all(isinstance(number, int | float) for number in numbers):
            raise NotReadable(f"{name} has an argument that is no number")
        if name.endswith("pow") and abs(args[1]) > MOST_EXPONENT:
            raise NotReadable(f"{name} has the exponent {args[1]}, which is no size")
        result = function(*args)
        if isinstance(result, list | tuple) or abs(result) >= LARGEST_NUMBER:
            raise NotReadable(f"{name} gives a value that is no size")
        return result

    return checked


class Room:
    """The bytes that a run may still take. Values that share storage count once."""

    def __init__(self, clips: int, inputs: Sequence[Tensor]) -> None:
        own = sum(tensor.nbytes for tensor in inputs)
        self.most = min(FIXED + PER_CLIP * clips, _physical_memory() // 2) + own
        self.taken = 0
        self._storages: dict[int, list[int]] = {}  # address -> [values that hold it, bytes]

    def check(self, function: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """NotReadable if the operation would take too much, or nobody can know."""
        sizes, schema = _Sizes(), function._schema
        name = schema.name.partition("::")[2]
        given = {**dict(zip((each.name for each in schema.arguments), args, strict=False)), **kwargs}
        try:
            with torch.no_grad(), sizes:
                function(*_on_meta(args), **{key: _on_meta(value) for key, value in kwargs.items()})
        except RuntimeError as error:  # NotImplementedError is one
            if name in BY_VALUES:
                sizes.bytes = _most_bytes(name, given)
            elif isinstance(error, NotImplementedError):
                raise NotReadable(
                    f"how much memory {function} takes depends on values, which is not supported; export to ONNX"
                ) from error
            else:
                raise
        masks = [tensor for tensor in _tensors([given.get("indices")]) if tensor.dtype in MASKS]
        needed = self.taken + sizes.bytes + _places(masks)
        if needed > self.most:
            raise NotReadable(f"{function} needs {_gib(needed)}, and {_gib(self.most)} are allowed for so many clips")

    def hold(self, values: Iterable[Any]) -> None:
        for tensor in _tensors(values):
            storage = tensor.untyped_storage()
            entry = self._storages.setdefault(storage.data_ptr(), [0, storage.nbytes()])
            self.taken += entry[1] if entry[0] == 0 else 0
            entry[0] += 1

    def free(self, values: Iterable[Any]) -> None:
        """For values that were held."""
        for tensor in _tensors(values):
            address = tensor.untyped_storage().data_ptr()
            entry = self._storages[address]  # no operation that a program may call moves a storage
            entry[0] -= 1
            if entry[0] == 0:
                self.taken -= entry[1]
                del self._storages[address]


class _Sizes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of all new tensors, also of the operations that an operation consists of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if any(result.alias_info is None for result in function._schema.returns):
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in _tensors([found]))
        return found


def _most_bytes(name: str, given: Mapping[str, Any]) -> int:
    """What one of BY_VALUES takes if no value is zero. Inputs may be views that have many more values than bytes."""
    tensors = _tensors(given.values())
    if name == "nonzero":
        return _places(tensors)
    if name == "masked_select":  # it also writes two lists of the mask's places
        width = max(tensor.element_size() for tensor in tensors) + 2 * PLACE
        return _broadcast(tensor.shape for tensor in tensors) * width
    if name == "index":
        return _most_indexed(given["self"], given["indices"])
    return 0  # a single value


def _most_indexed(values: Tensor, indices: Sequence[Tensor | None]) -> int:
    """The bytes of `values[indices]` if no value of a mask is zero."""
    left, kept, shapes = list(values.shape), 1, []
    for index in indices:
        if index is None:
            kept *= left.pop(0)
            continue
        is_mask = index.dtype in MASKS
        del left[: index.ndim if is_mask else 1]
        shapes.append([index.numel()] if is_mask else [*index.shape])
    return _broadcast(shapes) * kept * math.prod(left) * values.element_size()


def _broadcast(shapes: Iterable[Sequence[int]]) -> int:
    """How many values tensors of these shapes have at most, once they are broadcast."""
    return math.prod(map(max, zip_longest(*map(reversed, shapes), fillvalue=1)))


def _places(tensors: Iterable[Tensor]) -> int:
    """The bytes of a list of all places in the tensors."""
    return sum(PLACE * max(1, tensor.ndim) * tensor.numel() for tensor in tensors)


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, torch.device):
        return torch.device("meta")
    return [_on_meta(item) for item in value] if isinstance(value, list | tuple) else value


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
