"""Full float32 while a detector scores, whatever torch's global settings are.

On a GPU, torch may compute float32 in TF32, with 10 bits instead of 23: convolutions by default, matrix products on
request. That is enough to train, but coarser than the differences between scores of normal clips.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

FULL, INHERITED = "ieee", "none"  # of torch's fp32_precision

_lock = threading.Lock()
_inside = 0  # blocks of full float32 that run now, in all threads
_before: _Settings | None = None  # the settings to restore after the last of them


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """No TF32 and no bfloat16 in products and convolutions of float32 tensors within the block.

    The settings belong to the whole process. The first block changes them and the last one to end restores them, so
    blocks may be nested and may run in several threads. Autocast is not changed.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = _Settings.now()
            _use_full_float32(_before)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _before is not None:
                _before.restore()


@dataclass(frozen=True)
class _Settings:
    """Torch's settings of precision. The older ones are None if torch refuses to read them.

    Torch has two interfaces to them. The older one raises an error where the newer one was used as well and the two
    disagree, so both are set, and neither is set alone.
    """

    products: str | None
    convolutions: bool | None
    by_operation: tuple[str, ...]  # of _operations

    @classmethod
    def now(cls) -> _Settings:
        products, convolutions = None, None
        with contextlib.suppress(RuntimeError):
            products = torch.get_float32_matmul_precision()
        with contextlib.suppress(RuntimeError):
            convolutions = torch.backends.cudnn.allow_tf32
        return cls(products, convolutions, tuple(each.fp32_precision for each in _operations()))

    def restore(self) -> None:
        if self.products is not None:
            torch.set_float32_matmul_precision(self.products)
        if self.convolutions is not None:
            torch.backends.cudnn.allow_tf32 = self.convolutions
        for operation, value in zip(_operations(), self.by_operation, strict=True):
            operation.fp32_precision = INHERITED  # as it was where the value comes from a wider setting
            if operation.fp32_precision != value:
                operation.fp32_precision = value


def _use_full_float32(before: _Settings) -> None:
    if before.products is not None:
        torch.set_float32_matmul_precision("highest")
    if before.convolutions is not None:
        torch.backends.cudnn.allow_tf32 = False
    for operation in _operations():
        operation.fp32_precision = FULL


def _operations() -> list[Any]:
    """The settings of the newer interface, for GPUs and for CPUs; none before torch 2.9."""
    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):
        return []
    cuda, cudnn, mkldnn = backends.cuda, backends.cudnn, backends.mkldnn
    return [cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn]
