"""What a value that was read from JSON must look like: each shape says what is wrong with a value, or ""."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

SHOWN = 60  # characters of a value in a message


class Shape(Protocol):
    def misfit(self, value: Any, where: str) -> str:
        """Why `value`, which stands at `where`, does not fit: ``seconds must be a number from 0 but is 'x'``."""


@dataclass(frozen=True)
class Anything:
    def misfit(self, value: Any, where: str) -> str:
        return ""


@dataclass(frozen=True)
class Number:
    """A finite number. The bounds keep sums, squares and dates that readers make of it finite, too."""

    least: float = -1e30
    most: float = 1e30

    def misfit(self, value: Any, where: str) -> str:
        if type(value) in (int, float) and self.least <= value <= self.most:  # NaN is not between them; True is no int
            return ""
        return f"{where} must be a number from {self.least:g} to {self.most:g} but is {_shown(value)}"


@dataclass(frozen=True)
class Whole:
    least: int = 0
    most: int = 10**9

    def misfit(self, value: Any, where: str) -> str:
        if type(value) is int and self.least <= value <= self.most:
            return ""
        return f"{where} must be a whole number from {self.least:g} to {self.most:g} but is {_shown(value)}"


@dataclass(frozen=True)
class Text:
    """Any text: what a terminal would obey is spelled out where it is printed, in `asd_ray._terminal`."""

    most: float = 4000  # characters

    def misfit(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            return f"{where} must be text but is {_shown(value)}"
        if len(value) > self.most:
            return f"{where} must be text of at most {self.most} characters but has {len(value)}: {_shown(value)}"
        return ""


@dataclass(frozen=True)
class Flag:
    def misfit(self, value: Any, where: str) -> str:
        return "" if isinstance(value, bool) else f"{where} must be true or false but is {_shown(value)}"


@dataclass(frozen=True)
class Maybe:
    """The shape, or null."""

    shape: Shape

    def misfit(self, value: Any, where: str) -> str:
        return "" if value is None else self.shape.misfit(value, where)


@dataclass(frozen=True)
class Scalar:
    """Null, true, false, a finite number or text."""

    def misfit(self, value: Any, where: str) -> str:
        if value is None or (isinstance(value, int | float) and -1e300 < value < 1e300):
            return ""
        if isinstance(value, str) and len(value) <= Text.most:
            return ""
        return f"{where} must be a finite number, short text, true, false or null but is {_shown(value)}"


@dataclass(frozen=True)
class ListOf:
    shape: Shape
    least: int = 0  # items

    def misfit(self, value: Any, where: str) -> str:
        if not isinstance(value, list):
            return f"{where} must be a list but is {_shown(value)}"
        if len(value) < self.least:
            return f"{where} must be a list of at least {self.least} but has {len(value)}"
        for index, each in enumerate(value):
            if self.shape.misfit(each, where):
                return self.shape.misfit(each, f"{where}[{index}]")
        return ""


@dataclass(frozen=True)
class Items:
    """A list of exactly these."""

    shapes: Sequence[Shape]

    def misfit(self, value: Any, where: str) -> str:
        if not isinstance(value, list) or len(value) != len(self.shapes):
            return f"{where} must be a list of {len(self.shapes)} but is {_shown(value)}"
        named = enumerate(zip(self.shapes, value, strict=True))
        return next((p for at, (shape, each) in named if (p := shape.misfit(each, f"{where}[{at}]"))), "")


@dataclass(frozen=True)
class DictOf:
    shape: Shape
    keys: re.Pattern[str] | None = None

    def misfit(self, value: Any, where: str) -> str:
        if not isinstance(value, dict):
            return f"{where} must be an object but is {_shown(value)}"
        for key, each in value.items():
            if self.keys is not None and not self.keys.fullmatch(key):
                return f"{where} has the key {_shown(key)}, which must match {self.keys.pattern}"
            if len(key) > Text.most:
                return f"{where} has the key {_shown(key)}, which must be short text"
            if self.shape.misfit(each, key):  # the path is only put together for a message
                return self.shape.misfit(each, f"{where}.{key[:SHOWN]}")
        return ""


@dataclass(frozen=True)
class Fields:
    """An object with these fields; those that it does not know may hold anything."""

    shapes: Mapping[str, Shape]
    required: Sequence[str] = field(default=())

    def misfit(self, value: Any, where: str) -> str:
        if not isinstance(value, dict):
            return f"{where} must be an object but is {_shown(value)}"
        if lacking := [name for name in self.required if name not in value]:
            return f"{where} lacks {', '.join(lacking)}"
        for name, shape in self.shapes.items():
            if name in value and shape.misfit(value[name], name):
                return shape.misfit(value[name], f"{where}.{name}" if where else name)
        return ""


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return "a number of more than 60 digits"  # Python refuses to print some of them
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
