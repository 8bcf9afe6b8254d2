"""The table of families: a name, and the class that it stands for. A new family is one line here."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from asd_ray._shipped import shipped
from asd_ray.errors import AsdRayError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from asd_ray.detectors._base import Detector

FAMILIES: dict[str, str] = {
    "aegan_ad": "asd_ray.detectors.aegan_ad:AeganAd",
    "anogan": "asd_ray.detectors.anogan:AnoGan",
    "autoencoder": "asd_ray.detectors.autoencoder:Autoencoder",
    "complex_net": "asd_ray.detectors.complex_net:ComplexNet",
    "embedding_knn": "asd_ray.detectors.embedding_knn:EmbeddingKnn",
    "flow_aff": "asd_ray.detectors.flow_aff:FlowAff",
    "ganomaly": "asd_ray.detectors.ganomaly:Ganomaly",
    "group_made": "asd_ray.detectors.group_made:GroupMade",
    "id_classifier": "asd_ray.detectors.id_classifier:IdClassifier",
    "idnn": "asd_ray.detectors.idnn:IDNN",
    "stgram": "asd_ray.detectors.stgram:StgramMfn",
    "twfr_gmm": "asd_ray.detectors.twfr_gmm:TwfrGmm",
}


@dataclass(frozen=True)
class Space:
    """A family's search space: the paper's own setting, and what may be tried instead."""

    path: str
    paper: dict[str, Any]
    space: Callable[[Any], dict[str, Any]]  # takes an optuna trial, gives the parameters that differ from `paper`


@dataclass(frozen=True)
class Family:
    """A kind of detector. Small and picklable: the class is imported where it is used."""

    name: str
    target: str  # package.module:Class

    @property
    def detector(self) -> type[Detector]:
        """The class; a user's own that cannot be imported, or that keeps not to the contract, is said so."""
        module_name, _, class_name = self.target.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise AsdRayError(
                f"family {self.target}: {error}; name it package.module:Class, importable from here (set PYTHONPATH, "
                "or install it)"
            ) from error
        lacking = [name for name in ("RESOURCES", "fit", "score", "state", "load") if not hasattr(found, name)]
        if lacking:
            raise AsdRayError(
                f"family {self.target} lacks {', '.join(lacking)} of the contract of a detector; see "
                "asd_ray/detectors/_base.py, and try: python -m asd_ray.detectors.conformance " + self.target
            )
        made: type[Detector] = found
        return made

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names that the class takes beside the context."""
        return frozenset(
            name
            for name, each in inspect.signature(self.detector.__init__).parameters.items()
            if each.kind is inspect.Parameter.KEYWORD_ONLY
        )

    def search_space(self, path: str | Path | None = None) -> Space:
        """`PAPER` and `space` of the file `path`, else of the shipped one, else of the module of a user's class."""
        if path is None and self.name in FAMILIES and FAMILIES[self.name] == self.target:
            path = shipped("search_spaces") / f"{self.name}.py"
        if path is None:
            assert self.detector  # says how to name a class that cannot be imported
            return _space_of(importlib.import_module(self.target.partition(":")[0]), self.target)
        return _space_of(_load(Path(path)), str(path))


def family(name: str) -> Family:
    """A family of the table, or a user's own as ``package.module:Class`` (its name is the class's, in snake case)."""
    if ":" in name:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.partition(":")[2]).lower()
        if snake in FAMILIES:
            raise AsdRayError(f"family {name} would be called {snake}, as one of ours is; rename the class")
        return Family(snake, name)
    if name not in FAMILIES:
        raise unknown("family", name, FAMILIES)
    return Family(name, FAMILIES[name])


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise AsdRayError(f"{path}: no such file; give a Python file with PAPER and def space(trial)")
    specification = importlib.util.spec_from_file_location(f"_asd_ray_space_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a folder of search spaces is no place for __pycache__
    try:
        specification.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise AsdRayError(f"{path}: cannot be run ({type(error).__name__}: {error}); mend that line") from error
    finally:
        sys.dont_write_bytecode = before
    return module


def _space_of(module: ModuleType, where: str) -> Space:
    paper, space = getattr(module, "PAPER", None), getattr(module, "space", None)
    if not isinstance(paper, dict) or not callable(space):
        raise AsdRayError(f"{where}: a search space needs PAPER = {{…}} (the paper's setting) and def space(trial)")
    return Space(where, dict(paper), space)
