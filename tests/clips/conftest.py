from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray.clips import _build


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded for a bank since the test began."""
    names: list[str] = []
    read = _build.read_samples

    def count(path: str, **options: object) -> object:
        names.append(Path(path).name)
        return read(path, **options)

    monkeypatch.setattr(_build, "read_samples", count)
    return names
