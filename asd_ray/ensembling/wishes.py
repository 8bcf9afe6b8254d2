"""How ensembles are chosen and measured, whatever the recipe."""

from __future__ import annotations

from dataclasses import dataclass

from asd_ray.ensembling import bootstrap
from asd_ray.ensembling.judge import MAXIMISE
from asd_ray.ensembling.threshold import HOW, PERCENTILE
from asd_ray.errors import AsdRayError, unknown

BOUNDS = {  # least and most; work and memory grow with these, and a seed is also one of Optuna's, of 32 bits
    "folds": (2, 10**6),
    "repeats": (1, 1000),
    "seed": (0, 2**32 - 1),
    "draws": (1, 100_000),
}


@dataclass(frozen=True)
class Wishes:
    """How ensembles are chosen and measured."""

    maximise: str = "hmean"
    repeats: int = 3
    folds: int = 5
    seed: int = 0
    draws: int = bootstrap.DRAWS
    threshold: str = "gamma"
    percentile: float = PERCENTILE

    def __post_init__(self) -> None:
        for name, known in (("maximise", MAXIMISE), ("threshold", HOW)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, (least, most) in BOUNDS.items():
            if getattr(self, name) < least:
                raise AsdRayError(f"{name} must be {least} or more but got {getattr(self, name)}")
            if getattr(self, name) > most:
                raise AsdRayError(f"{name} must be {most} or less but got {getattr(self, name)}")
        if not 0 < self.percentile < 100:
            raise AsdRayError(f"percentile must be above 0 and below 100 but got {self.percentile}")
