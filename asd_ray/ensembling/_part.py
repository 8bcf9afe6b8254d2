"""What the parts of an ensemble file share: JSON to a frozen dataclass and back, with nothing lost on the way."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

SCALARS = (int, float, str, bool, Any)


@dataclass(frozen=True)
class Part:
    """One object of an ensemble file: each field is a key, and ``metadata={"key": …}`` gives a key of another name.

    A field without a default is in every file. A field that is None by default is in some files only, and is written
    only where it is known. Numbers stay as the file has them, so a file that is read and written again is the same.
    """

    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)  # keys of a later version

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """From the value of a JSON object that `schema.problem` has checked."""
        part: Any = cls  # a class is hashable, which mypy does not see of Self
        readers = _readers(part)
        known = {name: read(stored[key]) for key, (name, read) in readers.items() if key in stored}
        return cls(**known, extra={key: value for key, value in stored.items() if key not in readers})

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it, with the keys in the order of the fields."""
        stored = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "extra" and not (value is None and each.default is None):
                stored[_key(each)] = plain(value)
        return {**stored, **self.extra}


def plain(value: Any) -> Any:
    """A value of a field as JSON has it."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _key(each: Any) -> str:
    return str(each.metadata.get("key", each.name))


@cache
def _readers(part: type[Part]) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """key -> the field's name, and what makes its value."""
    kinds = get_type_hints(part)
    return {_key(each): (each.name, _reader(kinds[each.name])) for each in fields(part) if each.name != "extra"}


def _reader(kind: Any) -> Callable[[Any], Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # X | None
        read = _reader(inner[0])
        return lambda value: None if value is None else read(value)
    if origin is tuple:
        if inner[0] in SCALARS:
            return tuple
        item = _reader(inner[0])
        return lambda value: tuple(map(item, value))
    if origin is Mapping:
        item = _reader(inner[1])
        return lambda value: {key: item(one) for key, one in value.items()}
    return kind.from_json if hasattr(kind, "from_json") else lambda value: value
