"""What a search knows of a trial that a worker has."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import Study


@dataclass
class RunningTrial:
    """A trial that a worker has."""

    spec: TrialSpec
    study: Study
    started: float = field(default_factory=time.monotonic)
    epoch: int = 0
    seconds: float = 0.0
    intermediate: dict[int, float] = field(default_factory=dict)
    node: str = ""  # where it runs; known from its first sign of life on
    faults: tuple[str, ...] = ()  # why nodes could not run it before
