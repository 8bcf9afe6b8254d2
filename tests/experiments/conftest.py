from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.clips.demo import make_demo


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny demo set of two machines. Tests only read it."""
    root = tmp_path_factory.mktemp("experiments") / "demo"
    make_demo(root, size="tiny", machines=["fan", "valve"])
    return root
