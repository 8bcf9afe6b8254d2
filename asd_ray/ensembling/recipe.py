"""A recipe: how to choose candidates and combine them. One TOML file each in ensembles/; a user's own works alike."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from asd_ray._names import check_name
from asd_ray._shipped import shipped
from asd_ray.ensembling.candidates import BY
from asd_ray.ensembling.combine import WAYS
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError, unknown

SELECT = ("best", "slots", "best_per_family", "top_k", "greedy", "optuna_weights", "label_free")
COMBINED_BY_STEPS = ("mean", "max")  # what greedy selection can build up
MOST = {"k": 10**6, "size": 10**6, "pool": 10**6, "bags": 1000, "trials": 10_000}  # so that choosing ends some day
LARGEST = 2**16  # bytes of a recipe's file
MOST_DEPTH = 20  # tables and lists within each other
DOTS = 1000  # in a line
SLOTS = 100
SHOWN = 10  # problems of a file


@dataclass(frozen=True)
class Slot:
    """Candidates of a family, of some variants and with some parameters: the best of them takes the place."""

    family: str
    variants: tuple[str, ...] = ()  # none: any
    params: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = [f"{name} {value!r}" for name, value in self.params.items()]
        told += [f"variant {' or '.join(self.variants)}"] if self.variants else []
        return self.family + (f" ({', '.join(told)})" if told else "")


@dataclass(frozen=True)
class Recipe:
    """`combine` may name several ways: each is an ensemble of its own.

    select      what it does, and the fields that it reads
    best        the best single candidate (of `slots`, where there are some)
    slots       the best candidate of each of `slots`
    best_per_family  the best candidate of each family
    top_k       the `k` best candidates
    greedy      forward selection with replacement: `size`, `pool`, `bags`, `fraction`
    optuna_weights   weights of the `k` best of different trials, by `trials` of Optuna
    label_free  no label: each family's paper setting (of `slots`, where there are some), all variants that are meant
    """

    name: str
    select: str
    combine: tuple[str, ...] = ("mean",)
    slots: tuple[Slot, ...] = ()
    k: int = 5
    size: int = 25
    pool: int = 1000
    bags: int = 1
    fraction: float = 0.5
    trials: int = 60
    by: str = "held_out"  # whose statistics standardise: held_out, train or test
    standardise: Standardiser = field(default_factory=Standardiser)

    def __post_init__(self) -> None:
        if self.select not in SELECT:
            raise unknown("way to select", self.select, SELECT)
        if not self.combine:
            raise AsdRayError('combine must name one way or more, such as ["mean", "max"]')
        for how in self.combine:
            if how not in WAYS:
                raise unknown("way to combine", how, WAYS)
            if self.select == "greedy" and how not in COMBINED_BY_STEPS:
                raise AsdRayError(f"greedy selection combines by {' or '.join(COMBINED_BY_STEPS)} but got {how!r}")
        if self.select == "optuna_weights" and self.combine != ("mean",):
            raise AsdRayError('optuna_weights looks for the weights of a mean: combine = ["mean"]')
        if self.by not in BY:
            raise unknown("split to standardise by", self.by, BY)
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                least = "at least 1" if getattr(self, name) < 1 else f"at most {most}"
                raise AsdRayError(f"{name} must be {least} but got {str(getattr(self, name))[:40]}")
        if not 0 < self.fraction <= 1:
            raise AsdRayError(f"fraction must be in (0, 1] but got {self.fraction}")
        if self.select == "slots" and not self.slots:
            raise AsdRayError('select = "slots" needs [[slots]] with a family each')

    def to_dict(self) -> dict[str, Any]:
        """As JSON gives it back."""
        slots = [asdict(each) | {"variants": list(each.variants)} for each in self.slots]
        return asdict(self) | {"combine": list(self.combine), "slots": slots}

    def ways(self) -> list[Recipe]:
        """One recipe for each way to combine; of several ways each is named after its own."""
        if len(self.combine) == 1:
            return [self]
        return [replace(self, name=f"{self.name}.{how}", combine=(how,)) for how in self.combine]


def recipe_from(stored: Mapping[str, Any]) -> Recipe:
    """As `to_dict` gave it."""
    given = dict(stored)
    slots = tuple(
        Slot(each["family"], tuple(each.get("variants", ())), dict(each.get("params", {})))
        for each in given.pop("slots")
    )
    standardise = Standardiser(**given.pop("standardise"))
    return Recipe(**{**given, "combine": tuple(given["combine"])}, slots=slots, standardise=standardise)


def shipped_recipes() -> list[str]:
    return sorted(path.stem for path in shipped("ensembles").glob("*.toml"))


def is_file_name(name: str) -> bool:
    """Whether a user means a file of their own, and not a shipped recipe."""
    return Path(name).suffix == ".toml" or "/" in name


def find_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or a user's own by its path (``mine.toml``): data, never run as code.

    Recipes are told apart by their names, so a user's own cannot have that of a shipped one, nor "final".
    """
    if is_file_name(name):
        recipe = read_recipe(Path(name))
        for way in recipe.ways():
            check_name("recipe", way.name, "because its ensemble's file is called so")
            if way.name.casefold() in _reserved():
                whose = "the chosen" if way.name.casefold() == "final" else "a shipped recipe's"
                raise AsdRayError(f"{name}: {whose} ensemble is called {way.name}; rename your file")
        return recipe
    if name not in shipped_recipes():
        raise AsdRayError(f"{unknown('recipe', name, shipped_recipes())}; or name a file: mine.toml")
    return read_recipe(shipped("ensembles") / f"{name}.toml")


@cache
def _reserved() -> frozenset[str]:
    """In lower case, since some disks do not tell Final.json from final.json."""
    recipes = [read_recipe(shipped("ensembles") / f"{name}.toml") for name in shipped_recipes()]
    return frozenset({"final", *shipped_recipes(), *(way.name for each in recipes for way in each.ways())})


def read_recipe(path: Path) -> Recipe:
    """All problems of a file at once."""
    try:
        given = tomllib.loads(_text_of(path))
        _check_depth(given)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError and a UnicodeDecodeError are ValueErrors
        fault = f"it is nested more than {MOST_DEPTH} deep" if isinstance(error, RecursionError) else error
        raise AsdRayError(f"{path}: this is no TOML ({fault}); see the files in {shipped('ensembles')}") from error
    problems = list(_problems(given))
    if not problems:
        try:
            return _made(path.stem, given)
        except AsdRayError as error:
            problems = [str(error)]
    more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    raise AsdRayError("\n".join(f"{path}: {problem}" for problem in problems[:SHOWN] + more))


def _check_depth(given: Mapping[str, Any]) -> None:
    """Dotted keys go as deep as they like without TOML's reader going deep itself."""
    level: list[Any] = [given]
    for _ in range(MOST_DEPTH):
        inner = [each for each in level if isinstance(each, dict | list)]
        level = [below for each in inner for below in (each.values() if isinstance(each, dict) else each)]
    if level:
        raise RecursionError


def _text_of(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise IsADirectoryError
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise AsdRayError(f"{path}: no such file; shipped recipes: {', '.join(shipped_recipes())}") from error
    except OSError as error:
        raise AsdRayError(f"{str(path)[:200]}: cannot be read ({error.strerror}); name a recipe's file") from error
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST // 2**10} KiB")
    text = content.decode().removeprefix("\ufeff")
    if any(line.count(".") > DOTS for line in text.splitlines()):
        raise RecursionError  # the time that TOML's reader takes for a dotted key grows with the square of its length
    return text


_Type = type | tuple[type, ...]
_TYPES: dict[str, _Type] = {
    "select": str,
    "combine": (str, list),
    "slots": list,
    "by": str,
    "standardise": dict,
    "fraction": (int, float),
}
_SLOT: dict[str, _Type] = {"family": str, "variants": list, "params": dict}
_STANDARDISE: dict[str, _Type] = {"how": str, "per": str, "floor": (int, float)}


def _problems(given: Mapping[str, Any]) -> list[str]:
    known = {each.name: _TYPES.get(each.name, int) for each in fields(Recipe) if each.name != "name"}
    found = _typed(given, known, "field")
    found += [] if "select" in given else [f"select is missing; give one of {', '.join(SELECT)}"]
    slots = given.get("slots")
    slots = slots if isinstance(slots, list) else []
    if len(slots) > SLOTS:
        return [*found, f"slots must be at most {SLOTS} but are {len(slots)}"]
    for at, slot in enumerate(slots):
        if not isinstance(slot, dict) or not slot.get("family") or not isinstance(slot["family"], str):
            found.append(f'a slot needs a family but is {_shown(slot)}; write [[slots]] and family = "idnn"')
        else:
            found += _typed(slot, _SLOT, "field of a slot")
            found += _slot_problems(slot)
            if slots.index(slot) < at:
                found.append(f"slot {slot['family']} stands twice, and both would take the same candidate; remove one")
    combine = given.get("combine")
    if isinstance(combine, list) and not all(isinstance(each, str) for each in combine):
        found.append(f'combine must be texts such as ["mean", "max"] but is {_shown(combine)}')
    elif isinstance(combine, list) and len(set(combine)) < len(combine):
        found.append(f"combine names a way twice: {_shown(combine)}; remove one")
    standardise = given.get("standardise")
    return found + _typed(standardise if isinstance(standardise, dict) else {}, _STANDARDISE, "field of standardise")


def _slot_problems(slot: Mapping[str, Any]) -> list[str]:
    found, variants, params = [], slot.get("variants"), slot.get("params")
    if isinstance(variants, list) and not all(isinstance(each, str) for each in variants):
        found.append(f'variants of a slot must be texts such as ["mse"] but are {_shown(variants)}')
    for name, value in params.items() if isinstance(params, dict) else ():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str | int | float) or (isinstance(each, float) and not math.isfinite(each)):
                found.append(
                    f"params of a slot must be texts, finite numbers, true or false, but {name} is {_shown(each)}"
                )
    return found


def _shown(value: Any) -> str:
    """A value of a user's file, which may be as long as they like."""
    return f"{value!r:.200}"


def _typed(given: Mapping[str, Any], types: Mapping[str, _Type], kind: str) -> list[str]:
    """What is wrong with the names and the types of fields; true and false are no numbers."""
    return [
        f"{name}{kind.removeprefix('field')} must be {_called(types[name])} but is {_shown(value)}"
        if name in types
        else str(unknown(kind, name[:60], types))
        for name, value in given.items()
        if name not in types or not isinstance(value, types[name]) or isinstance(value, bool)
    ]


def _called(kind: _Type) -> str:
    names = {str: "text", list: "a list", dict: "a table", int: "a whole number", float: "a number"}
    return " or ".join(names[each] for each in (kind if isinstance(kind, tuple) else (kind,)))


def _made(name: str, given: dict[str, Any]) -> Recipe:
    combine = given.pop("combine", ["mean"])
    slots = tuple(
        Slot(each["family"], tuple(each.get("variants", ())), dict(each.get("params", {})))
        for each in given.pop("slots", [])
    )
    standardise = Standardiser(**given.pop("standardise", {}))
    ways = (combine,) if isinstance(combine, str) else tuple(combine)
    return Recipe(name, **given, combine=ways, slots=slots, standardise=standardise)
