"""Files of encoders for tests: those that are something else, and one that would run code."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.errors import AsdRayError

Build = Callable[[str, str], Encoder]


class Canary:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (builtins.open, (str(self.path), "w"))


def refused(build: Build, net: str, path: Path, *words: str) -> None:
    """One message that begins with the path and has the words."""
    with pytest.raises(AsdRayError) as found:
        build(net, str(path))
    message = str(found.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message.strip() or len(message) < 800
    for word in words:
        assert word in message, message


def check_refusals(build: Build, net: str, good: Path, folder: Path) -> None:
    """No file, a truncated one, text, other tensors, and a pickle with code, which must not run."""
    (folder / "text.pt").write_text("no encoder")
    (folder / "cut.pt").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    torch.save({"weight": torch.zeros(3)}, folder / "other.pt")
    torch.save([1, 2], folder / "list.pt")
    torch.save({"cfg": {}, "config": {}, "model": {}}, folder / "empty.pt")
    save_file({"weight": torch.zeros(3)}, folder / "other.safetensors")
    for name in ("none.pt", "text.pt", "cut.pt", "other.pt", "list.pt", "empty.pt", "other.safetensors"):
        refused(build, net, folder / name, ";")
    ran = folder / "ran"
    content = torch.load(good, weights_only=True)
    torch.save(content | {"extra": Canary(ran)}, folder / "code.pt")
    refused(build, net, folder / "code.pt", "code in such a file is never run; give a published")
    assert not ran.exists()
