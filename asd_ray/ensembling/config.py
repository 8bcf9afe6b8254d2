"""The settings of choosing and measuring that are the same for all recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from asd_ray._rules import INFER_LIMIT, short_seconds_of
from asd_ray.ensembling import bootstrap
from asd_ray.ensembling.cell_scorer import MAXIMISE
from asd_ray.ensembling.threshold import HOW, PERCENTILE
from asd_ray.errors import AsdRayError, unknown

BOUNDS = {  # least and most: work and memory grow with these, and Optuna takes a seed of 32 bits
    "folds": (2, 10**6),
    "repeats": (1, 1000),
    "seed": (0, 2**32 - 1),
    "draws": (1, 100_000),
    "rules": (1, 2),
}


@dataclass(frozen=True)
class EnsembleConfig:
    """Settings of choosing and measuring. Ensembles are compared only if these are the same."""

    maximise: str = "hmean"  # harmonic mean of AUC and pAUC cells; or auc, or pauc
    repeats: int = 3  # repeats of crossval
    folds: int = 5  # folds of crossval
    seed: int = 0  # seed of folds, bags and resampled clips
    draws: int = bootstrap.DRAWS
    threshold: str = "gamma"
    percentile: float = PERCENTILE  # percentile of normal scores that is the threshold
    infer_limit: float | None = None  # seconds that the ensemble may take for 10 s of sound
    # 1 in the files of earlier versions: percentiles of plain draws as intervals, the percentile of all test clips as
    # the threshold of transductive ensembles, and no warnings
    rules: int = 2

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
        if self.infer_limit is not None and (wrong := INFER_LIMIT.problem(self.infer_limit)):
            raise AsdRayError(f"infer_limit {wrong}")

    @classmethod
    def of(cls, **settings: Any) -> Self:
        """The config of settings as a user gives them: ``infer_limit`` may be "50ms"."""
        names = [field.name for field in fields(cls)]
        if strange := sorted(settings.keys() - set(names)):
            raise unknown("field of EnsembleConfig", strange[0], names)
        return cls(**{name: short_seconds_of(v) if name == "infer_limit" else v for name, v in settings.items()})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read the value in an ensemble file. An unknown field raises a TypeError."""
        return cls(**{"rules": 1, **stored})

    def to_json(self) -> dict[str, Any]:
        """The value that `from_json` reads. What files of earlier versions lack is written only if it has an effect."""
        absent = {"infer_limit": None, "rules": 1}
        return {name: value for name, value in asdict(self).items() if name not in absent or value != absent[name]}
