from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers of these tests are on this computer."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
