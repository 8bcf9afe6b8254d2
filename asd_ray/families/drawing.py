"""Draws of a search space, checked against its rules; one of them must be the paper's setting."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial

from asd_ray.errors import AsdRayError
from asd_ray.families.family import Family
from asd_ray.families.space import Space
from asd_ray.families.user_code import origin, shown, text_of
from asd_ray.ledger import trial_hash
from asd_ray.ledger.record import SHAPES

EPOCHS = 10**9  # the largest number that a record can hold
STEP = 1e-8  # tolerance as a share of a step, as in Optuna


class PaperTrial(FixedTrial):
    """Gives the paper's values as suggestions, and raises for a value that the space could not have drawn.

    `differing` are those of them that `origin` has, a part of PAPER_OF; PAPER has the others.
    """

    def __init__(self, paper: dict[str, Any], differing: Collection[str] = (), origin: str = "") -> None:
        super().__init__(paper)
        self._paper, self._differing, self._origin = paper, differing, origin

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._must_lie_within(name, low, high, step)
        return super().suggest_float(name, low, high, step=step, log=log)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._must_lie_within(name, low, high, step)
        return super().suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = self._value(name)
        if isinstance(choices, list | tuple) and choices and value not in choices:
            raise _Broken(f"{self._name(name)} = {value!r} is none of {', '.join(map(repr, choices))}; add it to them")
        return super().suggest_categorical(name, choices)

    def _must_lie_within(self, name: str, low: float, high: float, step: float | None) -> None:
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Broken(f"{self._name(name)} = {value!r} is not a number, but space() suggests one")
        if low <= high and not low <= value <= high:
            raise _Broken(f"{self._name(name)} = {value:g} is out of the range {low:g} … {high:g} of space(); widen it")
        steps = (value - low) / step if step else 0.0
        if low <= high and abs(steps - round(steps)) > STEP:
            raise _Broken(
                f"{self._name(name)} = {value:g} is not a multiple of the step {step:g} from {low:g}; change the range "
                "of space()"
            )

    def _name(self, name: str) -> str:
        return f"{self._origin if name in self._differing else 'PAPER'}[{name!r}]"

    def _value(self, name: str) -> Any:
        if name not in self._paper:
            raise _Broken(f"space() suggests {name!r}, which PAPER does not have; add it there")
        value = self._paper[name]
        return value.item() if hasattr(value, "item") else value


class PartialFixedTrial:
    """An Optuna trial in which some parameters are fixed: their value is returned, and Optuna does not draw them.

    Parameters of `brought` are drawn from the choices that it has, too, and not from others.
    """

    def __init__(
        self, trial: optuna.trial.BaseTrial, fixed: Mapping[str, Any], brought: Mapping[str, Collection[Any]]
    ) -> None:
        self._trial, self._fixed, self._brought = trial, fixed, brought

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._trial, attribute)
        return self._suggest(value) if attribute.startswith("suggest_") else value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        if name in self._brought:
            kept = [choice for choice in choices if choice in self._brought[name]]
            if choices and not kept:
                raise _Broken(
                    f"space() suggests {_or(choices)} for {name!r}, and the values that can be tried are "
                    f"{_or(self._brought[name])}; bring weights of the former, or add the latter to space()"
                )
            choices = kept
        return self._trial.suggest_categorical(name, choices)

    def _suggest(self, suggest: Callable[..., Any]) -> Callable[..., Any]:
        def suggest_unless_fixed(name: str, *args: Any, **options: Any) -> Any:
            return self._fixed[name] if name in self._fixed else suggest(name, *args, **options)

        return suggest_unless_fixed


def _or(values: Collection[Any]) -> str:
    return " or ".join(map(repr, values))


class _Broken(Exception):
    """A rule of search spaces is broken; the message names it."""


def draw(space: Space, trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """The parameters of one trial: PAPER, with the values that `space` draws and those that are fixed."""
    try:
        fixed = {**space.idle, **space.fixed}
        is_free = not fixed and not space.brought
        drawn = space.space(trial if is_free else PartialFixedTrial(trial, fixed, space.brought))
    except _Broken as error:
        raise AsdRayError(f"{space.path}: {error}") from error
    except (KeyboardInterrupt, AsdRayError):
        raise
    except BaseException as error:  # a user's file may raise anything, SystemExit too
        what, where = f"{type(error).__name__}: {text_of(error)}", origin(error)
        raise AsdRayError(f"{space.path}: space(trial) raised {what}{where and f', {where}'}; fix that line") from error
    if not isinstance(drawn, dict):
        raise AsdRayError(
            f"{space.path}: space(trial) must return a dictionary of parameters but returned {type(drawn).__name__}"
        )
    strange = sorted(map(str, set(drawn) - set(space.known)))
    if strange:
        raise AsdRayError(f"{space.path}: space() gives {strange[0]!r}, which PAPER does not have; add it there")
    _check_values(space, "space() gives", drawn)
    return space.complete(drawn)


@dataclass(frozen=True)
class Draw:
    """One draw of a search space."""

    params: dict[str, Any]  # PAPER, and what the space drew instead or what is fixed
    distributions: dict[str, BaseDistribution]  # of the parameters that the space suggested, none of them fixed
    later: Mapping[str, Any] = field(default_factory=dict)  # the space's values of what `params` may not name

    @property
    def suggested(self) -> dict[str, Any]:
        """The parameters that the space suggested."""
        return {name: self.value(name) for name in self.distributions}

    def value(self, name: str) -> Any:
        """The value of a parameter, also of one that `params` does not name."""
        return self.params[name] if name in self.params else self.later[name]


def redraw(space: Space, params: Mapping[str, Any]) -> Draw | None:
    """The draw in which `space` gives exactly these parameters; None if it has none. For parameters of stored trials.

    A space that suggests nothing for them has a draw with no distributions.
    """
    fixed = FixedTrial({**space.later, **params})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Optuna only warns of a value outside its range
            drawn = draw(space, fixed)
    except Exception:  # a space may raise anything for values that it does not know
        return None
    return Draw(drawn, fixed.distributions, space.later) if drawn == params else None


def first_draw(space: Space) -> Draw:
    """The setting that a search tries first: the paper's on the study's machine, with the values that are fixed.

    AsdRayError if the space cannot draw it, because the paper's values do not suit a fixed one.
    """
    differing = space.differing.keys() - space.fixed.keys()
    trial = PaperTrial(space.first, differing, space.origin)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna only warns about a choice that it cannot store
        try:
            drawn = draw(space, trial)
        except AsdRayError as error:
            if not space.fixed:
                raise
            given = ", ".join(f"{name}={shown(value)}" for name, value in space.fixed.items())
            raise AsdRayError(f"with --set {given}: {error}; or give this parameter a value by --set, too") from error
    return Draw(drawn, trial.distributions, space.later)


def paper_draw(space: Space, family: Family) -> dict[str, Any]:
    """PAPER's values of the suggested parameters, whatever is fixed.

    AsdRayError if the space cannot draw the paper's setting, or the one that PAPER_OF has for some machine.
    """
    space = replace(space, fixed={}, idle={}, differing={}, origin="", weights={})
    _check_values(space, "PAPER has", space.paper)
    strange = sorted(set(space.paper) - family.parameters)
    if strange:
        raise AsdRayError(
            f"{space.path}: PAPER has {strange[0]!r}, which {family.identity} does not take; it takes "
            f"{', '.join(sorted(family.parameters))}"
        )
    first = first_draw(space)
    if first.params != space.paper:
        wrong = sorted(name for name, value in first.params.items() if value != space.paper[name])
        raise AsdRayError(
            f"{space.path}: with PAPER's values space() returns another {wrong[0]!r}; suggest each parameter under its "
            "own name"
        )
    for own in space.on_each():
        _check_differing(own)
    return first.suggested


def _check_differing(space: Space) -> None:
    """Raise if the space cannot draw the setting of its machine.

    Each parameter that differs must be one that space() suggests. Trials of the machine with other values would have
    no draw otherwise, among them the stored ones with those of PAPER.
    """
    where, origin = space.path, space.origin
    _check_values(space, f"{origin} has", space.differing)
    for name, value in space.differing.items():
        if name in space.later:
            raise AsdRayError(f"{where}: {origin} has {name!r}, which PAPER_OF cannot have: PAPER does not name it")
        if name not in space.paper:
            raise AsdRayError(f"{where}: {origin} has {name!r}, which PAPER does not have; add it there")
        value, paper = plain_value(value), plain_value(space.paper[name])
        if None not in (value, paper) and type(value) is not type(paper):
            raise AsdRayError(
                f"{where}: {origin}[{name!r}] = {value!r} is of another type than {paper!r} in PAPER; write it as there"
            )
    first = first_draw(space)
    wrong = sorted(name for name, value in first.params.items() if value != space.setting[name])
    if wrong and wrong[0] in first.distributions:
        raise AsdRayError(
            f"{where}: with the values of {origin} space() returns another {wrong[0]!r}; suggest each parameter under "
            "its own name"
        )
    if wrong:
        raise AsdRayError(
            f"{where}: {origin} has {wrong[0]!r}, which space() does not suggest there; suggest it, with the values of "
            "PAPER and PAPER_OF"
        )


def _check_values(space: Space, what: str, values: dict[Any, Any]) -> None:
    for name, value in values.items():
        if not isinstance(name, str) or not name:
            raise AsdRayError(f"{space.path}: {what} the name {shown(name)}; names of parameters are text")
        if cure := value_fault(name, value):
            raise AsdRayError(f"{space.path}: {what} {shown(name)} = {shown(plain_value(value))}; {cure}")


def plain_value(value: Any) -> Any:
    """A number of numpy as Python's own; any other value as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def value_fault(name: str, value: Any) -> str:
    """Why a value cannot be that of a parameter, as a cure; "" if it can."""
    plain = plain_value(value)
    is_finite = not isinstance(plain, float) or math.isfinite(plain)
    is_scalar = plain is None or isinstance(plain, bool | int | float | str)
    if not is_scalar or not is_finite or not _is_stored(name, plain):
        return "a parameter is a finite number below 1e300, short text, True, False or None"
    if name == "epochs" and not (isinstance(plain, int | float) and plain == int(plain) and 1 <= plain <= EPOCHS):
        return "give a whole number from 1"
    return ""


def _is_stored(name: str, value: Any) -> bool:
    """Whether the ledger can store it and a hash can contain it: no number of hundreds of digits, no surrogate."""
    if SHAPES["params"].misfit({name: value}):
        return False
    try:
        trial_hash(value=value)
        f"{name}{value}".encode()
    except (AsdRayError, ValueError):
        return False
    return True
