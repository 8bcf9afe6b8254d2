"""The table of families: a name, and the class that it stands for. A new family is one line here."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import stat
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from asd_ray._shipped import shipped
from asd_ray.detectors.user_code import explained, shown
from asd_ray.errors import AsdRayError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from asd_ray.detectors._base import Detector, Resources

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
METHODS = ("fit", "score", "state", "load")
TARGET = re.compile(r"(?:[^\W\d]\w*\.)*[^\W\d]\w*:[^\W\d]\w*")
LARGEST = 1 << 20  # bytes of a search space


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
        """The class. One that cannot be imported, or that does not keep to the contract, is an AsdRayError."""
        module_name, _, class_name = self.target.partition(":")
        module = self._module(module_name)
        with explained(f"family {self.target}: its module has no such class", "fix that line"):
            found = getattr(module, class_name, None)
        if found is None:
            raise AsdRayError(
                f"family {self.target}: module {module_name!r} has no attribute {class_name!r}; name it "
                "package.module:Class, importable from here (set PYTHONPATH, or install it)"
            )
        if not isinstance(found, type):
            raise self._breaks_the_contract(f"is of type {type(found).__name__}, where a class is asked for")
        if getattr(found, "_is_protocol", False) or inspect.isabstract(found):
            abstract = ", ".join(sorted(getattr(found, "__abstractmethods__", ()))) or "it is a Protocol"
            raise self._breaks_the_contract(f"is abstract ({abstract}), so no detector can be made of it")
        lacking = [name for name in METHODS if not callable(getattr(found, name, None))]
        if lacking := [*(["RESOURCES"] if not hasattr(found, "RESOURCES") else []), *lacking]:
            raise self._breaks_the_contract(f"lacks {', '.join(lacking)} of the contract of a detector")
        made: type[Detector] = found
        return made

    def _module(self, name: str) -> ModuleType:
        shipped = FAMILIES.get(self.name) == self.target
        cure = "install asd_ray with all that it needs" if shipped else "fix that line, or install what it imports"
        try:
            with explained(f"family {self.target}: its module cannot be imported", cure):
                return importlib.import_module(name)
        except AsdRayError as error:
            missing = error.__cause__
            if not isinstance(missing, ModuleNotFoundError) or not f"{name}.".startswith(f"{missing.name}."):
                raise  # the module is there; what it imports is not, or it raises
            raise AsdRayError(
                f"family {self.target}: {missing}; name it package.module:Class, importable from here (set PYTHONPATH, "
                "or install it)"
            ) from missing

    def _breaks_the_contract(self, why: str) -> AsdRayError:
        return AsdRayError(
            f"family {self.target} {why}; see asd_ray/detectors/_base.py, and try: python -m "
            f"asd_ray.detectors.conformance {self.target}"
        )

    @property
    def resources(self) -> Resources:
        """What one trial asks for by default."""
        from asd_ray.detectors._base import Resources

        found = self.detector.RESOURCES
        if not isinstance(found, Resources):
            raise self._breaks_the_contract(
                f"has RESOURCES = {shown(found)}, which must be a Resources(cpu=…, gpu=…) of asd_ray.detectors"
            )
        return found

    def check(self) -> None:
        """Raise where the class, or what it asks for, does not keep to the contract."""
        _ = self.resources

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names that the class takes beside the context."""
        try:
            taken = inspect.signature(self.detector.__init__).parameters.items()
        except (TypeError, ValueError) as error:
            raise self._breaks_the_contract(f"has an __init__ that takes no arguments ({error})") from error
        return frozenset(name for name, each in taken if each.kind is inspect.Parameter.KEYWORD_ONLY)

    def search_space(self, path: str | Path | None = None) -> Space:
        """`PAPER` and `space` of the file `path`, else of the shipped one, else of the module of a user's class."""
        if path is None and self.name in FAMILIES and FAMILIES[self.name] == self.target:
            path = shipped("search_spaces") / f"{self.name}.py"
        if path is None:
            _ = self.detector  # says how to name a class that cannot be imported
            return _space_of(self._module(self.target.partition(":")[0]), self.target)
        return _space_of(_load(Path(path)), str(path))


def family(name: str) -> Family:
    """A family of the table, or a user's own as ``package.module:Class`` (its name is the class's, in snake case)."""
    if ":" in name:
        if not TARGET.fullmatch(name):
            raise AsdRayError(
                f"family {name!r} is not written as package.module:Class; write such as my_package.my_module:MyDetector"
            )
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.partition(":")[2]).lower()
        if snake in FAMILIES:
            raise AsdRayError(f"family {name} would be called {snake}, as one of ours is; rename the class")
        return Family(snake, name)
    if name not in FAMILIES:
        raise unknown("family", name, FAMILIES)
    return Family(name, FAMILIES[name])


def _load(path: Path) -> ModuleType:
    cure = "give a Python file with PAPER and def space(trial)"
    try:
        mode, size = (status := path.stat()).st_mode, status.st_size
    except (OSError, ValueError) as error:
        why = "no such file" if isinstance(error, FileNotFoundError | NotADirectoryError) else str(error)
        raise AsdRayError(f"{path}: {why}; {cure}") from error
    if not stat.S_ISREG(mode):
        raise AsdRayError(f"{path}: {'a folder' if stat.S_ISDIR(mode) else 'not a file'}, no search space; {cure}")
    if path.suffix != ".py":
        raise AsdRayError(f"{path}: the name of a search space ends in .py; {cure}")
    if size > LARGEST:
        raise AsdRayError(f"{path}: larger than {LARGEST >> 20} MiB, which no search space is; {cure}")
    specification = importlib.util.spec_from_file_location(f"_asd_ray_space_{path.stem}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a folder of search spaces is no place for __pycache__
    try:
        with explained(f"{path}: cannot be run", "fix that line"):
            specification.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _space_of(module: ModuleType, where: str) -> Space:
    paper, space = getattr(module, "PAPER", None), getattr(module, "space", None)
    if not isinstance(paper, dict) or not callable(space):
        raise AsdRayError(f"{where}: a search space needs PAPER = {{…}} (the paper's setting) and def space(trial)")
    return Space(where, dict(paper), space)
