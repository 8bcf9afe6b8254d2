"""A device that does not exist, for tests where no GPU is: its tensors are computed on the CPU and refuse all others.

`register` makes "pretended:0" a device of torch, by torch's Python backend for PrivateUse1. That changes the whole
process and cannot be undone, so tests use it in a process of their own.

A tensor of this device wraps one on the CPU, and every operator runs on what is wrapped. As on a GPU, an operator
refuses a CPU tensor beside one of this device (0 dimensions are accepted where operators are elementwise), a generator
of the CPU, and numpy. What makes the CPU wait for a GPU is written to `WAITS`.

What it cannot show: speed, memory, TF32, autocast (families use it on "cuda" only), and errors in kernels of a GPU.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretended"
WAITS: list[str] = []  # what the CPU would wait for, with the line of ours that does it
OPERATORS: Counter[str] = Counter()  # that ran on the device

_aten: Any = torch.ops.aten
_library = torch.library.Library("aten", "IMPL")  # its kernels live as long as it does
_device_random_state: list[Tensor] = []  # of random numbers that are drawn on the device
_BY_POSITION = (_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default)


class PretendedTensor(Tensor):
    """A tensor of the device; `raw` has its values, on the CPU."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> PretendedTensor:
        make: Callable[..., PretendedTensor] = Tensor._make_wrapper_subclass
        with torch.inference_mode(False):  # else torch refuses to make a view of a tensor from outside inference mode
            wrapper = make(
                cls,
                raw.size(),
                strides=raw.stride(),
                storage_offset=raw.storage_offset(),
                dtype=raw.dtype,
                device=torch.device(NAME, 0),
            )
        wrapper.raw = raw
        return wrapper

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        """Torch would exchange what the wrapper is, and not what it wraps."""
        if not isinstance(other, PretendedTensor) or other.shape != self.shape or other.stride() != self.stride():
            raise RuntimeError(f"the pretended device takes as data only its own tensors of the same shape: {other!r}")
        self.raw = other.raw

    def tolist(self) -> Any:
        """As of a GPU's tensor; torch refuses it to a tensor of Python."""
        return self.cpu().tolist()

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"PretendedTensor({self.raw!r})"


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    _note_waits(func, args, kwargs)
    OPERATORS[str(func)] += 1
    if func is _aten.copy_.default:
        return _copy(*args, **kwargs)
    _refuse_others(func, args, kwargs)
    device = kwargs.get("device")
    stays = device is None or torch.device(device).type == NAME
    raw_args, raw_kwargs = tree_map(_raw, (args, kwargs))
    if device is not None:
        raw_kwargs["device"] = torch.device("cpu")
    results = _with_random_numbers_of_the_device(func, raw_args, raw_kwargs)
    given = {id(leaf.raw): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, PretendedTensor)}
    if func._schema.is_mutable:
        _refuse_another_shape(func, given.values())
    if not stays:
        return results
    return tree_map(lambda leaf: given[id(leaf)] if id(leaf) in given else _wrapped(leaf), results)


def _copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """Only copies may join both kinds of tensors."""
    _raw(target).copy_(_raw(source))
    return target


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, PretendedTensor) else value


def _wrapped(value: Any) -> Any:
    return PretendedTensor(value) if isinstance(value, Tensor) else value


def _refuse_others(func: Any, args: Any, kwargs: Any) -> None:
    elementwise = torch.Tag.pointwise in func.tags
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor) and not isinstance(leaf, PretendedTensor) and not (elementwise and leaf.dim() == 0):
            raise RuntimeError(f"{func}: expected all tensors on {NAME}:0 but found one on {leaf.device}")
        if isinstance(leaf, torch.Generator) and leaf.device.type != NAME:
            raise RuntimeError(f"{func}: expected a generator of {NAME} but found one of {leaf.device}")


def _refuse_another_shape(func: Any, wrappers: Any) -> None:
    for wrapper in wrappers:
        if wrapper.shape != wrapper.raw.shape or wrapper.stride() != wrapper.raw.stride():
            raise RuntimeError(f"{func} changes the shape of a tensor in place: a pretended tensor would keep its own")


def _with_random_numbers_of_the_device(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What is drawn on the device comes from a state of its own, not from that of the CPU."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return func(*args, **kwargs)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(_device_random_state[0])
        try:
            return func(*args, **kwargs)
        finally:
            _device_random_state[0] = torch.get_rng_state()


def _note_waits(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    why = ""
    if func is _aten.copy_.default:
        blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
        if blocking and isinstance(args[0], PretendedTensor) != isinstance(args[1], PretendedTensor):
            why = "a copy between the devices that is not non_blocking"
    elif func is _aten._to_copy.default:
        device = kwargs.get("device")
        why = "a copy to the CPU" if device is not None and torch.device(device).type != NAME else ""
    elif func in _BY_POSITION:
        masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
        why = "an index that is a mask" if masks else ""
    elif {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags):
        why = f"the result of {func}"
    if why:
        WAITS.append(f"{why} ({_line_of_ours()})")


def _line_of_ours() -> str:
    frames = (frame for frame in reversed(traceback.extract_stack()) if "/asd_ray/" in frame.filename)
    frame = next(frames, None)
    return f"{frame.filename.rpartition('/asd_ray/')[2]}:{frame.lineno}: {frame.line}" if frame else "not ours"


def _empty(size: Any, **how: Any) -> Tensor:
    return PretendedTensor(torch.empty(size, dtype=how.get("dtype"), memory_format=how.get("memory_format")))


def _empty_strided(size: Any, stride: Any, **how: Any) -> Tensor:
    return PretendedTensor(torch.empty_strided(size, stride, dtype=how.get("dtype")))


# For these, torch would make an empty tensor and let the operator change its shape.


def _arange(start: Any, end: Any, step: Any = 1, **how: Any) -> Tensor:
    return PretendedTensor(torch.arange(start, end, step, dtype=how.get("dtype")))


def _eye(rows: int, columns: int | None = None, **how: Any) -> Tensor:
    return PretendedTensor(torch.eye(rows, rows if columns is None else columns, dtype=how.get("dtype")))


class _Module:
    """What torch asks of ``torch.pretended``."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        _device_random_state[:] = [torch.Generator().manual_seed(seed + 1).get_state()]  # never the numbers of the CPU

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def register() -> None:
    """Make the device known to torch. Once per process, and before its first use."""
    module = _Module()
    module.manual_seed_all(0)
    torch.utils.backend_registration._setup_privateuseone_for_python_backend(NAME, module)
    kernels = {
        "empty.memory_format": _empty,
        "empty_strided": _empty_strided,
        "arange": partial(_arange, 0),
        "arange.start": _arange,
        "arange.start_step": _arange,
        "eye": _eye,
        "eye.m": _eye,
    }
    for operator, kernel in kernels.items():
        _library.impl(operator, kernel, "PrivateUse1")
