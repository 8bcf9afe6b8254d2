"""What a value that was read from JSON must look like, put together of shapes, and what is wrong with one that is not.

``fault(object_of(weight=Number(0, 1)), {"weight": 2})`` says ``weight must be a number from 0 to 1 but is 2``.
Fields that a shape does not name are not looked at, so that a newer version may add some.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

SHOWN = 60  # characters of a value in a message
MOST_TEXT = 4000  # characters


def fault(shape: Shape, value: Any, where: str = "") -> str:
    """The first thing in `value`, which stands at `where`, that does not fit, with its path; "" for none."""
    told = shape.misfit(value)
    if not told or where:
        return told and where + told
    return told[1:] if told.startswith("/") else f"it{told}"


class Shape(Protocol):
    def misfit(self, value: Any) -> str:
        """What follows the value's path in a message: `` must be text but is 5``, or of one within, ``/0/name must …``.

        So a path is only put together for a message; thousands of values are read without one.
        """


@dataclass(frozen=True)
class Anything:
    def misfit(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class Number:
    """A finite number. The bounds keep sums, squares and dates that readers make of it finite, too."""

    least: float = -1e30
    most: float = 1e30
    above: bool = False  # the least itself is refused

    def misfit(self, value: Any) -> str:
        within = type(value) in (int, float) and self.least <= value <= self.most  # NaN is not; True is no int
        if within and not (self.above and value == self.least):
            return ""
        first = "above" if self.above else "from"
        return f" must be a number {first} {self.least:g} to {self.most:g} but is {_shown(value)}"


@dataclass(frozen=True)
class Whole:
    least: int = 0
    most: int = 10**9

    def misfit(self, value: Any) -> str:
        if type(value) is int and self.least <= value <= self.most:
            return ""
        return f" must be a whole number from {self.least:g} to {self.most:g} but is {_shown(value)}"


@dataclass(frozen=True)
class Text:
    """Any text: what a terminal would obey is spelled out where it is printed, in `asd_ray._terminal`."""

    most: float = MOST_TEXT

    def misfit(self, value: Any) -> str:
        if not isinstance(value, str):
            return f" must be text but is {_shown(value)}"
        if len(value) > self.most:
            return f" must be text of at most {self.most} characters but has {len(value)}: {_shown(value)}"
        return ""


@dataclass(frozen=True)
class OneOf:
    known: Collection[str]

    def misfit(self, value: Any) -> str:
        good = isinstance(value, str) and value in self.known
        return "" if good else f" must be {' or '.join(self.known)} but is {_shown(value)}"


@dataclass(frozen=True)
class Flag:
    def misfit(self, value: Any) -> str:
        return "" if isinstance(value, bool) else f" must be true or false but is {_shown(value)}"


@dataclass(frozen=True)
class Maybe:
    """The shape, or null."""

    shape: Shape

    def misfit(self, value: Any) -> str:
        return "" if value is None else self.shape.misfit(value)


@dataclass(frozen=True)
class Scalar:
    """Null, true, false, a finite number or text."""

    def misfit(self, value: Any) -> str:
        if value is None or (type(value) in (bool, int, float) and -1e300 < value < 1e300):
            return ""
        if isinstance(value, str) and len(value) <= MOST_TEXT:
            return ""
        return f" must be a finite number, short text, true, false or null but is {_shown(value)}"


@dataclass(frozen=True)
class ListOf:
    shape: Shape
    least: int = 0  # items

    def misfit(self, value: Any) -> str:
        if not isinstance(value, list):
            return f" must be a list but is {_shown(value)}"
        if len(value) < self.least:
            return f" must be a list of at least {self.least} but has {len(value)}"
        for index, each in enumerate(value):
            if told := self.shape.misfit(each):
                return f"/{index}{told}"
        return ""


@dataclass(frozen=True)
class Items:
    """A list of exactly these."""

    shapes: Sequence[Shape]

    def misfit(self, value: Any) -> str:
        if not isinstance(value, list) or len(value) != len(self.shapes):
            return f" must be a list of {len(self.shapes)} but is {_shown(value)}"
        for index, shape in enumerate(self.shapes):
            if told := shape.misfit(value[index]):
                return f"/{index}{told}"
        return ""


@dataclass(frozen=True)
class DictOf:
    shape: Shape
    keys: re.Pattern[str] | None = None

    def misfit(self, value: Any) -> str:
        if not isinstance(value, dict):
            return f" must be an object but is {_shown(value)}"
        for key, each in value.items():
            if self.keys is not None and not self.keys.fullmatch(key):
                return f" has the key {_shown(key)}, which must match {self.keys.pattern}"
            if len(key) > MOST_TEXT:
                return f" has the key {_shown(key)}, which must be short text"
            if told := self.shape.misfit(each):
                return f"/{key[:SHOWN]}{told}"
        return ""


@dataclass(frozen=True)
class Fields:
    """An object with those of these fields that are there; others may hold anything."""

    shapes: Mapping[str, Shape]
    required: Sequence[str] = field(default=())

    def misfit(self, value: Any) -> str:
        if not isinstance(value, dict):
            return f" must be an object but is {_shown(value)}"
        if lacking := [name for name in self.required if name not in value]:
            return f" lacks {', '.join(lacking)}"
        for name, shape in self.shapes.items():
            if name in value and (told := shape.misfit(value[name])):
                return f"/{name}{told}"
        return ""


def object_of(optional: Mapping[str, Shape] | None = None, /, **needed: Shape) -> Fields:
    """An object with all of `needed`, and with `optional` where these are there."""
    return Fields({**needed, **(optional or {})}, required=tuple(needed))


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return "a number of more than 60 digits"  # Python refuses to print some of them
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
