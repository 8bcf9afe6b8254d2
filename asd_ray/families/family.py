"""One family of detectors: its name, its class, its search space, and the identity of its trials."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from asd_ray._shipped import shipped
from asd_ray.errors import AsdRayError, unknown
from asd_ray.families.identity import version_of
from asd_ray.families.resources import Resources
from asd_ray.families.space import Space, load_space, space_of_class
from asd_ray.families.table import FAMILIES, PATHS_OF_0_1
from asd_ray.families.user_code import explained, shown
from asd_ray.families.weights import PARAMETER

METHODS = ("fit", "score", "state", "load")
TARGET = re.compile(r"(?:[^\W\d]\w*\.)*[^\W\d]\w*:[^\W\d]\w*")


@dataclass(frozen=True)
class Family:
    """A kind of detector. Small and picklable: the class is imported where it is used.

    A class that cannot be imported by its name, such as one of a notebook's cell, is pickled as `own_class`.
    """

    name: str
    target: str  # package.module:Class
    own_class: type | None = field(default=None, compare=False, repr=False)

    @property
    def is_shipped(self) -> bool:
        return FAMILIES.get(self.name) == self.target

    @property
    def identity(self) -> str:
        """The family in a trial's hash: the name of a shipped one, the import path of a user's class."""
        return self.name if self.is_shipped else self.target

    @cached_property
    def version(self) -> str:
        """The version in a trial's hash; it changes when the class gives other scores."""
        return version_of(self.detector, self.target)

    @property
    def path_of_0_1(self) -> str | None:
        """The import path by which version 0.1 named trials that still count; None after a change of the scores.

        Version 0.1 did not notice edits of a user's class, so its trials count unless VERSION is above 1.
        """
        if self.version != "1" and not self.version.startswith("code-"):
            return None
        return PATHS_OF_0_1.get(self.name) if self.is_shipped else self.target

    @property
    def detector(self) -> type[Any]:
        """The class, a `Detector`. AsdRayError if it cannot be imported, or breaks the contract."""
        cls = self._class() if self.own_class is None else self.own_class
        if not isinstance(cls, type):
            raise self._breaks_the_contract(f"is of type {type(cls).__name__}, but must be a class")
        if getattr(cls, "_is_protocol", False) or inspect.isabstract(cls):
            abstract = ", ".join(sorted(getattr(cls, "__abstractmethods__", ()))) or "it is a Protocol"
            raise self._breaks_the_contract(f"is abstract ({abstract}), so it cannot make detectors")
        lacking = [name for name in METHODS if not callable(getattr(cls, name, None))]
        if lacking := [*(["RESOURCES"] if not hasattr(cls, "RESOURCES") else []), *lacking]:
            raise self._breaks_the_contract(f"lacks {', '.join(lacking)} of the contract of a detector")
        return cls

    def _class(self) -> Any:
        module_name, _, class_name = self.target.partition(":")
        module = self._module(module_name)
        with explained(f"family {self.target}: its module has no such class", "fix that line"):
            cls = getattr(module, class_name, None)
        if cls is None:
            raise AsdRayError(
                f"family {self.target}: module {module_name!r} has no attribute {class_name!r}; name it "
                "package.module:Class, importable from here (set PYTHONPATH, or install it)"
            )
        return cls

    def _module(self, name: str) -> ModuleType:
        cure = "fix that line, or install what it imports"
        if self.is_shipped:
            cure = "install asd_ray with all that it needs"
        try:
            with explained(f"family {self.target}: its module cannot be imported", cure):
                return importlib.import_module(name)
        except AsdRayError as error:
            missing = error.__cause__
            if not isinstance(missing, ModuleNotFoundError) or not f"{name}.".startswith(f"{missing.name}."):
                raise  # the module exists; it raises, or a module that it imports does not exist
            raise AsdRayError(
                f"family {self.target}: {missing}; name it package.module:Class, importable from here (set PYTHONPATH, "
                "or install it)"
            ) from missing

    def _breaks_the_contract(self, why: str) -> AsdRayError:
        return AsdRayError(
            f"family {self.target} {why}; see asd_ray/detectors/_base.py, and try: asd-ray conformance {self.target}"
        )

    @property
    def resources(self) -> Resources:
        """The default resources of one trial."""
        resources = self.detector.RESOURCES
        if not isinstance(resources, Resources):
            raise self._breaks_the_contract(
                f"has RESOURCES = {shown(resources)}, which must be a Resources(cpu=…, gpu=…) of asd_ray.detectors"
            )
        try:
            resources.check_request()
        except ValueError as error:
            raise self._breaks_the_contract(f"({_place(self.detector)}): {error}") from error
        return resources

    def check(self) -> None:
        """Raise if the class, or its RESOURCES, breaks the contract."""
        _ = self.resources, self.version

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of the parameters that PAPER has: without the context, and without that of pretrained weights."""
        try:
            arguments = inspect.signature(self.detector.__init__).parameters.items()
        except (TypeError, ValueError) as error:
            raise self._breaks_the_contract(f"has an __init__ without arguments ({error})") from error
        named = {name for name, one in arguments if one.kind is inspect.Parameter.KEYWORD_ONLY}
        return frozenset(named - {PARAMETER} if self.weights else named)

    @property
    def weights(self) -> Mapping[str, tuple[str, ...]]:
        """Parameter -> those of its values whose net may start from pretrained weights that the user brings.

        A user's class may have a WEIGHTS of another meaning: it counts only beside a parameter `pretrained`.
        """
        given = getattr(self.detector, "WEIGHTS", {})
        if not isinstance(given, Mapping) or PARAMETER not in inspect.signature(self.detector.__init__).parameters:
            return {}
        if not all(isinstance(nets, tuple) and all(isinstance(net, str) for net in nets) for nets in given.values()):
            raise self._breaks_the_contract(f'has WEIGHTS {shown(given)}; write {{"net": ("mobilenet_v3",)}}')
        return given

    @property
    def needs_weights(self) -> bool:
        """Whether no trial can run without weights of `weights`."""
        return bool(self.weights) and getattr(self.detector, "NEEDS_WEIGHTS", False) is True

    def search_space(self, path: str | Path | None = None) -> Space:
        """The space of the file `path`; by default that of the shipped file, of a user's class, or of its module."""
        if path is None and self.is_shipped:
            path = shipped("search_spaces") / f"{self.name}.py"
        if path is not None:
            from asd_ray.ledger.later_params import LATER  # the ledger imports pandas

            space = load_space(Path(path))
            later = LATER.get(self.name, {}) if self.is_shipped else {}
            return replace(space, later={name: value for name, value in later.items() if name not in space.paper})
        cls, name = self.detector, self.target.partition(":")[0]
        return space_of_class(cls, sys.modules[name] if self.own_class else self._module(name), self.target)


def family(name: str | type) -> Family:
    """A family of the table by its name, or a user's own as ``package.module:Class`` or as the class itself.

    The name of a user's family is the name of the class in snake case.
    """
    if isinstance(name, type):
        return _family_of_class(name)
    if not isinstance(name, str):
        raise AsdRayError(f"give a family's name or a class, not {shown(name)}")
    if ":" in name:
        if not TARGET.fullmatch(name):
            raise AsdRayError(
                f"family {name!r} is not of the form package.module:Class, such as my_package.my_module:MyDetector"
            )
        return Family(_snake(name), name)
    if name not in FAMILIES:
        raise unknown("family", name, FAMILIES)
    return Family(name, FAMILIES[name])


def _family_of_class(cls: type) -> Family:
    target = f"{cls.__module__}:{cls.__qualname__}"
    shipped_name = next((name for name, path in FAMILIES.items() if path == target), None)
    if shipped_name is not None:
        return Family(shipped_name, target)
    is_found = getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is cls
    return Family(_snake(target), target, None if is_found and cls.__module__ != "__main__" else cls)


def _place(cls: type) -> str:
    """``file:line`` of a class, as far as it is known."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return cls.__module__


def _snake(target: str) -> str:
    name = target.partition(":")[2].rpartition(".")[2]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    if snake in FAMILIES:
        raise AsdRayError(f"family {target} would get the name {snake}, which a shipped family has; rename the class")
    return snake
