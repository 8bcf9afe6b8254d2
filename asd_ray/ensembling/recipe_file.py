"""Recipes as TOML files: the shipped ones in ensembles/, and a user's own. A file is data and is never run as code."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from asd_ray._names import check_name
from asd_ray._shipped import shipped
from asd_ray.ensembling.recipe import SELECT, Recipe, Slot
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.errors import AsdRayError, unknown

LARGEST = 2**16  # bytes of a recipe's file
MOST_DEPTH = 20  # tables and lists within each other
DOTS = 1000  # dots in a line
SLOTS = 100
SHOWN = 10  # problems shown of a file


def shipped_recipes() -> list[str]:
    return sorted(path.stem for path in shipped("ensembles").glob("*.toml"))


def is_file_name(name: str) -> bool:
    """Whether `name` is a user's own file, and not a shipped recipe."""
    return Path(name).suffix == ".toml" or "/" in name


def find_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or a user's own by its path (``mine.toml``).

    Recipes are known by their names, so a user's own cannot have the name of a shipped one, nor "final".
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
    """Reserved names in lower case, because Final.json and final.json are one file on some disks."""
    recipes = [read_recipe(shipped("ensembles") / f"{name}.toml") for name in shipped_recipes()]
    return frozenset({"final", *shipped_recipes(), *(way.name for recipe in recipes for way in recipe.ways())})


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from its file. An AsdRayError lists all problems of the file at once."""
    try:
        table = tomllib.loads(_text_of(path))
        _check_depth(table)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError and a UnicodeDecodeError are ValueErrors
        fault = f"it is nested more than {MOST_DEPTH} deep" if isinstance(error, RecursionError) else error
        raise AsdRayError(f"{path}: this is no TOML ({fault}); see the files in {shipped('ensembles')}") from error
    problems = _problems(table)
    if not problems:
        try:
            return _recipe(path.stem, table)
        except AsdRayError as error:
            problems = [str(error)]
    more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    raise AsdRayError("\n".join(f"{path}: {problem}" for problem in problems[:SHOWN] + more))


def _check_depth(table: Mapping[str, Any]) -> None:
    """TOML's reader limits nested brackets by its own recursion, but not dotted keys."""
    level: list[Any] = [table]
    for _ in range(MOST_DEPTH):
        inner = [value for value in level if isinstance(value, dict | list)]
        level = [below for value in inner for below in (value.values() if isinstance(value, dict) else value)]
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
        raise RecursionError  # the time to read a dotted key grows with the square of its length
    return text


_Type = type | tuple[type, ...]
_TYPES: dict[str, _Type] = {
    "select": str,
    "combine": (str, list),
    "slots": list,
    "by": str,
    "criterion": str,
    "variants": str,
    "standardise": dict,
    "fraction": (int, float),
}
_SLOT: dict[str, _Type] = {
    "family": str,
    "variants": list,
    "params": dict,
    "size": int,
    "distinct": list,
    "paper": bool,
}
_STANDARDISE: dict[str, _Type] = {"how": str, "per": str, "floor": (int, float)}


def _problems(table: Mapping[str, Any]) -> list[str]:
    known = {field.name: _TYPES.get(field.name, int) for field in fields(Recipe) if field.name != "name"}
    problems = _type_problems(table, known, "field")
    problems += [] if "select" in table else [f"select is missing; give one of {', '.join(SELECT)}"]
    slots = table.get("slots")
    slots = slots if isinstance(slots, list) else []
    if len(slots) > SLOTS:
        return [*problems, f"slots must be at most {SLOTS} but are {len(slots)}"]
    for at, slot in enumerate(slots):
        if not isinstance(slot, dict) or not slot.get("family") or not isinstance(slot["family"], str):
            problems.append(f'a slot needs a family but is {_shown(slot)}; write [[slots]] and family = "idnn"')
        else:
            problems += _type_problems(slot, _SLOT, "field of a slot")
            problems += _slot_problems(slot)
            if slots.index(slot) < at:
                fault = "stands twice, and both would take the same candidate; remove one"
                problems.append(f"slot {slot['family']} {fault}")
    combine = table.get("combine")
    if isinstance(combine, list) and not all(isinstance(how, str) for how in combine):
        problems.append(f'combine must be texts such as ["mean", "max"] but is {_shown(combine)}')
    elif isinstance(combine, list) and len(set(combine)) < len(combine):
        problems.append(f"combine names a way twice: {_shown(combine)}; remove one")
    standardise = table.get("standardise")
    standardise = standardise if isinstance(standardise, dict) else {}
    return problems + _type_problems(standardise, _STANDARDISE, "field of standardise")


def _slot_problems(slot: Mapping[str, Any]) -> list[str]:
    problems, params = [], slot.get("params")
    for field, example in (("variants", "mse"), ("distinct", "lr")):
        names = slot.get(field)
        if isinstance(names, list) and not all(isinstance(name, str) for name in names):
            problems.append(f'{field} of a slot must be texts such as ["{example}"] but are {_shown(names)}')
    for name, value in params.items() if isinstance(params, dict) else ():
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str | int | float) or (isinstance(item, float) and not math.isfinite(item)):
                problems.append(
                    f"params of a slot must be texts, finite numbers, true or false, but {name} is {_shown(item)}"
                )
    return problems


def _shown(value: Any) -> str:
    """A value of a user's file for a message, cut to a length that can be read."""
    return f"{value!r:.200}"


def _type_problems(table: Mapping[str, Any], types: Mapping[str, _Type], kind: str) -> list[str]:
    """Problems with the names and the types of fields; true and false are no numbers."""
    return [
        f"{name}{kind.removeprefix('field')} must be {_called(types[name])} but is {_shown(value)}"
        if name in types
        else str(unknown(kind, name[:60], types))
        for name, value in table.items()
        if name not in types or not isinstance(value, types[name]) or isinstance(value, bool) != (types[name] is bool)
    ]


def _called(kind: _Type) -> str:
    names = {str: "text", list: "a list", dict: "a table", int: "a whole number", float: "a number"}
    names[bool] = "true or false"
    return " or ".join(names[one] for one in (kind if isinstance(kind, tuple) else (kind,)))


def _recipe(name: str, table: Mapping[str, Any]) -> Recipe:
    combine = table.get("combine", ["mean"])
    parts = {
        "combine": (combine,) if isinstance(combine, str) else tuple(combine),
        "slots": tuple(map(Slot.from_json, table.get("slots", ()))),
        "standardise": Standardiser(**table.get("standardise", {})),
    }
    return Recipe(name, **{**table, **parts})
