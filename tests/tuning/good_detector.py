"""A detector that tests change: users' own classes inherit from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from asd_ray.detectors import Progress, Resources
from asd_ray.features import PRESETS


class Good:
    """Keeps to the contract, and detects nothing."""

    RESOURCES = Resources()
    VERSION = 1

    def __init__(self, context: Any) -> None:
        self.front_end: Any = PRESETS["baseline"]

    def fit(self, train: Any) -> Any:
        yield Progress(1, {"loss": 1.0})

    def score(self, clips: Any) -> Any:
        return {"level": np.arange(len(clips), dtype=float)}

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None: ...
