"""A family's search space: PAPER, PAPER_OF and space(trial) of a Python file, or of a user's class or module."""

from __future__ import annotations

import importlib.util
import inspect
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.families.user_code import explained, shown
from asd_ray.families.weights import PARAMETER

LARGEST = 1 << 20  # bytes of a search space file
MICROPHONE = "microphone"  # a parameter of detectors that can listen to several channels
TRAIN_IDS = "train_ids"  # a parameter of detectors that can learn from the training clips of some ids alone
FIRST_YEAR = 2020  # of DCASE Task 2 on anomalous sound


@dataclass(frozen=True)
class Space:
    """The paper's own setting, and a function that draws other ones. `fixed` values are the same in every draw.

    A paper may have other settings on some machines. `on` gives the space of a study, which knows those of its machine.
    """

    path: str
    paper: dict[str, Any]
    space: Callable[[Any], dict[str, Any]]  # takes an Optuna trial, returns the parameters that differ from `paper`
    fixed: dict[str, Any] = field(default_factory=dict)  # by --set; they replace those of `setting` and of `space`
    # year of the dataset's edition -> machine -> the parameters that differ from `paper` there
    paper_of: Mapping[int, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    differing: dict[str, Any] = field(default_factory=dict)  # those of the study's machine
    origin: str = ""  # where they are written, such as ``PAPER_OF[2022]['fan']``
    idle: Mapping[str, Any] = field(default_factory=dict)  # parameters of no effect on the study's clips; not drawn
    later: Mapping[str, Any] = field(default_factory=dict)  # `later_params.LATER` of the family, without those of PAPER
    # Parameter -> its value -> the user's weights from which such a trial starts, as the parameter `pretrained` names
    # them. Other trials do not have that parameter, so they keep the hashes of earlier versions.
    weights: dict[str, dict[Any, str]] = field(default_factory=dict)
    needs_weights: bool = False  # only values of `weights` are drawn, as soon as there is one

    @property
    def setting(self) -> dict[str, Any]:
        """The paper's setting on the study's machine: the parameters that its trial names."""
        return {**self.paper, **self.differing}

    @property
    def known(self) -> dict[str, Any]:
        """Every parameter, with its value in the paper's setting."""
        return {**self.later, **self.setting}

    @property
    def brought(self) -> dict[str, tuple[Any, ...]]:
        """Parameter -> the only values that may be drawn, those with weights of the user."""
        return {name: tuple(names) for name, names in self.weights.items() if names} if self.needs_weights else {}

    @property
    def first(self) -> dict[str, Any]:
        """What a search tries first: the paper's setting, with the fixed values, and with weights that are brought."""
        setting = self.setting
        replaced = {name: own[0] for name, own in self.brought.items() if setting.get(name, own[0]) not in own}
        return {**self.known, **replaced, **self.fixed}

    def on(self, machines: Sequence[str], year: int | None) -> Space:
        """The space of a study. Studies of several machines and other years have the plain PAPER."""
        machine = machines[0] if len(machines) == 1 else ""
        own = self.paper_of.get(year, {}).get(machine) if year is not None else None
        if own is None:
            return replace(self, differing={}, origin="")
        return replace(self, differing=dict(own), origin=f"PAPER_OF[{year}][{machine!r}]")

    def without(self, names: Sequence[str], of_paper: bool = False) -> Space:
        """The space that does not draw these parameters: they keep their value of `later`.

        For those that have no effect on the clips of a study. Otherwise trials with other hashes would be the same.
        Parameters of PAPER are left out only if `of_paper`: in a user's own family the name may mean something else.
        """
        values = self.known if of_paper else self.later
        return replace(self, idle={name: values[name] for name in names if name in values})

    def on_each(self) -> Iterator[Space]:
        """The space on every machine that PAPER_OF has."""
        for year, machines in self.paper_of.items():
            yield from (self.on([machine], year) for machine in machines)

    def complete(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """All parameters of a trial, from what `space` returned."""
        given = {**self.paper, **drawn, **self.fixed}
        params = {name: value for name, value in given.items() if name not in self.later or value != self.later[name]}
        for parameter, names in self.weights.items():
            if name := names.get(given.get(parameter)):
                params[PARAMETER] = name
        return params


def load_space(path: Path) -> Space:
    """Run a search space file. AsdRayError if it cannot be run, or lacks PAPER or space."""
    return _from_names(vars(_run_file(path)), str(path))


def space_of_class(cls: type, module: ModuleType, where: str) -> Space:
    """The space of a user's own class: its attributes PAPER and space, else those of `module`.

    A class with `space` and without `PAPER` has its default parameters as PAPER. It may have PAPER_OF, too.
    """
    if hasattr(cls, "space"):
        names = {"PAPER": getattr(cls, "PAPER", _defaults(cls)), "space": cls.space}
        return _from_names({**names, "PAPER_OF": getattr(cls, "PAPER_OF", {})}, where)
    return _from_names(vars(module), where)


def _defaults(cls: type) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}


def _from_names(names: dict[str, Any], where: str) -> Space:
    paper, space = names.get("PAPER"), names.get("space")
    if not isinstance(paper, dict) or not callable(space):
        raise AsdRayError(f"{where}: a search space needs PAPER = {{…}} (the paper's setting) and def space(trial)")
    return Space(where, dict(paper), space, paper_of=_paper_of(names.get("PAPER_OF", {}), where))


def _paper_of(given: Any, where: str) -> dict[int, dict[str, dict[str, Any]]]:
    """PAPER_OF, of which the shape is checked here. `paper_draw` checks the parameters."""
    cure = 'write PAPER_OF = {2022: {"fan": {"lr": 0.001}}}'
    if not isinstance(given, dict):
        raise AsdRayError(f"{where}: PAPER_OF is {shown(given)} and must be a dictionary; {cure}")
    for year, machines in given.items():
        if isinstance(year, bool) or not isinstance(year, int) or year < FIRST_YEAR:
            raise AsdRayError(
                f"{where}: PAPER_OF has the key {shown(year)}, which must be the year of an edition of DCASE Task 2, "
                f"{FIRST_YEAR} or later; {cure}"
            )
        if not isinstance(machines, dict):
            raise AsdRayError(f"{where}: PAPER_OF[{year}] is {shown(machines)} and must be a dictionary; {cure}")
        for machine, own in machines.items():
            if not isinstance(machine, str) or not machine:
                raise AsdRayError(
                    f"{where}: PAPER_OF[{year}] has the key {shown(machine)}, no name of a machine; {cure}"
                )
            if not isinstance(own, dict):
                raise AsdRayError(
                    f"{where}: PAPER_OF[{year}][{machine!r}] is {shown(own)} and must be a dictionary; {cure}"
                )
    return {year: {machine: dict(own) for machine, own in machines.items()} for year, machines in given.items()}


def _run_file(path: Path) -> ModuleType:
    cure = "give a Python file with PAPER and def space(trial)"
    try:
        mode, size = (status := path.stat()).st_mode, status.st_size
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError | NotADirectoryError) else str(error)
        raise AsdRayError(f"{path}: {reason}; {cure}") from error
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
    sys.dont_write_bytecode = True  # no __pycache__ in a folder of search spaces
    try:
        with explained(f"{path}: cannot be run", "fix that line"):
            specification.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module
