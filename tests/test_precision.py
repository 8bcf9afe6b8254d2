"""Full float32 while a detector scores, whatever torch's settings are, and those settings again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from asd_ray._precision import full_float32

backends: Any = torch.backends
DEFAULTS = {  # (backend, operation) -> value with which torch starts
    **{(backend, "all"): "none" for backend in ("generic", "cuda", "mkldnn")},
    **{("mkldnn", operation): "none" for operation in ("matmul", "conv", "rnn")},
    **{("cuda", "matmul"): "none", ("cuda", "conv"): "tf32", ("cuda", "rnn"): "tf32"},
}
USER_SETTINGS: dict[str, Callable[[], object]] = {
    "none": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "allow_tf32": lambda: setattr(backends.cuda.matmul, "allow_tf32", True),
    "cudnn without": lambda: setattr(backends.cudnn, "allow_tf32", False),
    "everything": lambda: setattr(backends, "fp32_precision", "tf32"),
    "cudnn": lambda: setattr(backends.cudnn, "fp32_precision", "tf32"),
    "products": lambda: setattr(backends.cuda.matmul, "fp32_precision", "tf32"),
    "one operation": lambda: setattr(backends.cudnn.conv, "fp32_precision", "ieee"),
    "both interfaces": lambda: (
        setattr(backends.cuda.matmul, "allow_tf32", True),
        setattr(backends.cuda.matmul, "fp32_precision", "ieee"),
    ),
}


@pytest.fixture(autouse=True)
def _torch_as_it_starts() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = True
    for (backend, operation), value in DEFAULTS.items():
        torch._C._set_fp32_precision_setter(backend, operation, value)


def readable(read: Callable[[], object]) -> object:
    try:
        return read()
    except RuntimeError:  # torch's older interface, where the newer one was used and differs
        return "refused"


def settings() -> dict[object, object]:
    """All that torch says of its precision, in both of its interfaces."""
    old = {
        "products": readable(torch.get_float32_matmul_precision),
        "matmul": readable(lambda: backends.cuda.matmul.allow_tf32),
        "cudnn": readable(lambda: backends.cudnn.allow_tf32),
    }
    return old | {key: torch._C._get_fp32_precision_getter(*key) for key in DEFAULTS}


def of_operations() -> set[object]:
    return {value for key, value in settings().items() if isinstance(key, tuple) and key[1] != "all"}


@pytest.mark.parametrize("user", USER_SETTINGS)
def test_all_operations_are_in_full_float32_and_the_user_s_settings_come_back(user: str) -> None:
    USER_SETTINGS[user]()
    before = settings()
    with full_float32():
        assert of_operations() == {"ieee"}
        inside = settings()
    assert settings() == before
    for name, off in (("products", "highest"), ("matmul", False), ("cudnn", False)):
        if before[name] != "refused":  # code that reads the older interface may run inside, too
            assert inside[name] == off


def test_a_setting_that_an_operation_inherits_is_still_inherited_afterwards() -> None:
    with full_float32():
        pass
    backends.cuda.matmul.fp32_precision = "none"
    backends.fp32_precision = "tf32"
    with full_float32():
        assert backends.cuda.matmul.fp32_precision == "ieee"
    assert backends.cuda.matmul.fp32_precision == "tf32"
    backends.fp32_precision = "ieee"
    assert backends.cuda.matmul.fp32_precision == "ieee"


def test_an_error_inside_restores_the_settings() -> None:
    torch.set_float32_matmul_precision("high")
    before = settings()
    with pytest.raises(ValueError, match="no such fan"), full_float32():
        raise ValueError("no such fan")
    assert settings() == before


def test_blocks_may_be_nested() -> None:
    before = settings()
    with full_float32():
        with full_float32():
            assert of_operations() == {"ieee"}
        assert of_operations() == {"ieee"}
    assert settings() == before


def test_the_last_of_several_threads_restores_the_settings() -> None:
    """The settings are of the process: a thread that ends must not take full float32 from one that still scores."""
    before, seen = settings(), list[object]()
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with full_float32():
            inside.set()
            done.wait()
            seen.append(of_operations())

    thread = threading.Thread(target=other)
    with full_float32():
        thread.start()
        inside.wait()
    done.set()
    thread.join()
    assert seen == [{"ieee"}]
    assert settings() == before


def test_the_values_of_a_cpu_do_not_change() -> None:
    rows = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
    image, weight = rows.view(1, 8, 64, 64), rows[:9, :8].reshape(1, 8, 3, 3)
    before = rows @ rows.T, torch.nn.functional.conv2d(image, weight)
    with full_float32():
        after = rows @ rows.T, torch.nn.functional.conv2d(image, weight)
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
