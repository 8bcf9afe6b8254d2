"""torchaudio, which can be imported with any torch. Only this module imports it.

torchaudio's last releases link their compiled extension against CUDA, so on a CPU-only torch ``import torchaudio``
raises OSError, although all we need from it (transforms, functional) is plain Python. In this case a module that
reports "not available" replaces the extension. With CUDA, nothing is replaced.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any


def load() -> types.ModuleType:
    """Import torchaudio, with a replacement for its extension if the real one cannot be loaded."""
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        _forget("torchaudio")
        sys.modules["torchaudio._extension"] = _replacement()
        return importlib.import_module("torchaudio")


def _replacement() -> types.ModuleType:
    module = types.ModuleType("torchaudio._extension")
    module.__dict__.update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, fail_if_no_align=_unchanged)
    return module


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


torchaudio = load()
transforms = importlib.import_module("torchaudio.transforms")
functional = importlib.import_module("torchaudio.functional")
