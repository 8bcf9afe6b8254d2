"""The shapes that values from JSON must have, and a message for a value that does not fit.

``fault(object_of(weight=Number(0, 1)), {"weight": 2})`` is ``weight must be a number from 0 to 1 but is 2``.
Fields that a shape does not name are ignored, so that a newer version may add some.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

SHOWN = 60  # characters of a value in a message
MOST_TEXT = 4000  # characters


def fault(shape: Shape, value: Any, where: str = "") -> str:
    """The first part of `value` that does not fit, with its path below `where`; "" if all of it fits."""
    misfit = shape.misfit(value)
    if not misfit or where:
        return misfit and where + misfit
    return misfit[1:] if misfit.startswith("/") else f"it{misfit}"


class Shape(Protocol):
    def misfit(self, value: Any) -> str:
        """The rest of a message after the value's path: `` must be text but is 5``, or ``/0/name must …`` of a part.

        So a path is built only for a message, and thousands of values are read without one. "" if the value fits.
        """


@dataclass(frozen=True)
class Anything:
    def misfit(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class Number:
    """A finite number. The default bounds keep sums and squares of it finite, too."""

    least: float = -1e30
    most: float = 1e30
    above: bool = False  # the value must be above `least`, not equal to it

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
    """Any text. Control characters are allowed: `asd_ray._terminal` shows them as escapes."""

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
        is_known = isinstance(value, str) and value in self.known
        return "" if is_known else f" must be {' or '.join(self.known)} but is {_shown(value)}"


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
        for index, item in enumerate(value):
            if misfit := self.shape.misfit(item):
                return f"/{index}{misfit}"
        return ""


@dataclass(frozen=True)
class Items:
    """A list with exactly these items."""

    shapes: Sequence[Shape]

    def misfit(self, value: Any) -> str:
        if not isinstance(value, list) or len(value) != len(self.shapes):
            return f" must be a list of {len(self.shapes)} but is {_shown(value)}"
        for index, shape in enumerate(self.shapes):
            if misfit := shape.misfit(value[index]):
                return f"/{index}{misfit}"
        return ""


@dataclass(frozen=True)
class DictOf:
    shape: Shape
    keys: re.Pattern[str] | None = None

    def misfit(self, value: Any) -> str:
        if not isinstance(value, dict):
            return f" must be an object but is {_shown(value)}"
        for key, item in value.items():
            if self.keys is not None and not self.keys.fullmatch(key):
                return f" has the key {_shown(key)}, which must match {self.keys.pattern}"
            if len(key) > MOST_TEXT:
                return f" has the key {_shown(key)}, which must be short text"
            if misfit := self.shape.misfit(item):
                return f"/{key[:SHOWN]}{misfit}"
        return ""


@dataclass(frozen=True)
class Fields:
    """An object. Each of these fields is optional unless `required`; other fields may hold anything."""

    shapes: Mapping[str, Shape]
    required: Sequence[str] = field(default=())

    def misfit(self, value: Any) -> str:
        if not isinstance(value, dict):
            return f" must be an object but is {_shown(value)}"
        if lacking := [name for name in self.required if name not in value]:
            return f" lacks {', '.join(lacking)}"
        for name, shape in self.shapes.items():
            if name in value and (misfit := shape.misfit(value[name])):
                return f"/{name}{misfit}"
        return ""


def object_of(optional: Mapping[str, Shape] | None = None, /, **required: Shape) -> Fields:
    """An object with all of `required`, and perhaps with some of `optional`."""
    return Fields({**required, **(optional or {})}, required=tuple(required))


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return "a number of more than 60 digits"  # Python refuses to print some of them
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
