"""Kinds of values that a file may hold, put together to a schema, and one check that names the first fault by its path.

A kind is called with a value and its path and gives a problem, or nothing. ``Record(name=TEXT, weight=Number(0))``
holds for ``{"name": "x", "weight": 1.0}``; keys that a record does not name are not looked at, so that a newer version
may add some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Kind = Callable[[Any, str], str]  # (value, path) -> what is wrong with it, "" for nothing


def text(value: Any, path: str) -> str:
    return "" if isinstance(value, str) else _wrong(path, "text", value)


def flag(value: Any, path: str) -> str:
    return "" if isinstance(value, bool) else _wrong(path, "true or false", value)


def anything(value: Any, path: str) -> str:
    return ""


def whole(least: int = 0, most: int = 2**53) -> Kind:
    """A whole number; 1.0 and true are none."""

    def check(value: Any, path: str) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if good else _wrong(path, f"a whole number from {least} to {most}", value)

    return check


def number(least: float = -1e300, most: float = 1e300, *, above: bool = False) -> Kind:
    """A float or a whole number within bounds; `above`: the least itself is refused."""

    def check(value: Any, path: str) -> str:
        good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        bounds = f"above {least:g}" if above else f"from {least:g}"
        return "" if good and not (above and value == least) else _wrong(path, f"a number {bounds} to {most:g}", value)

    return check


def one_of(*known: str) -> Kind:
    def check(value: Any, path: str) -> str:
        return "" if isinstance(value, str) and value in known else _wrong(path, " or ".join(known), value)

    return check


def nullable(kind: Kind) -> Kind:
    return lambda value, path: "" if value is None else kind(value, path)


def list_of(kind: Kind, least: int = 0, most: int | None = None) -> Kind:
    def check(value: Any, path: str) -> str:
        if not isinstance(value, list):
            return _wrong(path, "a list", value)
        if len(value) < least or (most is not None and len(value) > most):
            many = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            return f"{path} must have {many} elements but has {len(value)}"
        return next(filter(None, (kind(each, f"{path}/{at}") for at, each in enumerate(value))), "")

    return check


def map_of(kind: Kind) -> Kind:
    def check(value: Any, path: str) -> str:
        if not isinstance(value, dict):
            return _wrong(path, "an object", value)
        return next(filter(None, (kind(each, below(path, name)) for name, each in value.items())), "")

    return check


def record(_optional: Mapping[str, Kind] | None = None, /, **needed: Kind) -> Kind:
    """An object with all of `needed`, and with `_optional` where these are there."""
    optional = _optional or {}

    def check(value: Any, path: str) -> str:
        if not isinstance(value, dict):
            return _wrong(path, "an object", value)
        if lacking := [name for name in needed if name not in value]:
            return f"{path or 'it'} lacks {', '.join(lacking)}"
        kinds = {**needed, **optional}
        found = (kinds[name](each, below(path, name)) for name, each in value.items() if name in kinds)
        return next(filter(None, found), "")

    return check


def below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _wrong(path: str, rule: str, value: Any) -> str:
    shown = f"{type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.60}"
    return f"{path or 'the file'} must be {rule} but is {shown}"
