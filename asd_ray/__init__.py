"""asd_ray finds out which detectors of anomalous sound work for your machines, and combines the best.

``from asd_ray import Dataset, Run``. What is listed here is imported when it is first used, so that the command line
answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from asd_ray.clips.bank import ClipSet
    from asd_ray.conformance import check_family
    from asd_ray.dataset import Dataset
    from asd_ray.deploy.bundle import Bundle
    from asd_ray.deploy.result import ClipScore
    from asd_ray.detectors import Context, Detector, Progress, Scores, State
    from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe
    from asd_ray.errors import AsdRayError
    from asd_ray.families import FAMILIES, Resources
    from asd_ray.features import PRESETS, FrontEnd
    from asd_ray.run import Run

_MODULES = {
    "AsdRayError": "asd_ray.errors",
    "Bundle": "asd_ray.deploy.bundle",
    "ClipScore": "asd_ray.deploy.result",
    "ClipSet": "asd_ray.clips.bank",
    "Context": "asd_ray.detectors",
    "Dataset": "asd_ray.dataset",
    "Detector": "asd_ray.detectors",
    "Ensemble": "asd_ray.ensembling",
    "EnsembleConfig": "asd_ray.ensembling",
    "FAMILIES": "asd_ray.families",
    "FrontEnd": "asd_ray.features",
    "PRESETS": "asd_ray.features",
    "Progress": "asd_ray.detectors",
    "Recipe": "asd_ray.ensembling",
    "Resources": "asd_ray.families",
    "Run": "asd_ray.run",
    "Scores": "asd_ray.detectors",
    "State": "asd_ray.detectors",
    "check_family": "asd_ray.conformance",
}

__all__ = [
    "FAMILIES",
    "PRESETS",
    "AsdRayError",
    "Bundle",
    "ClipScore",
    "ClipSet",
    "Context",
    "Dataset",
    "Detector",
    "Ensemble",
    "EnsembleConfig",
    "FrontEnd",
    "Progress",
    "Recipe",
    "Resources",
    "Run",
    "Scores",
    "State",
    "check_family",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'asd_ray' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
