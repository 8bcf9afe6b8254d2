"""The base class of the parts of an ensemble file: JSON to a frozen dataclass and back, without loss."""

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
        """Read the value of a JSON object that `schema.problem` has checked."""
        part: Any = cls  # a class is hashable, which mypy does not see of Self
        readers = _readers(part)
        known = {name: read(stored[key]) for key, (name, read) in readers.items() if key in stored}
        return cls(**known, extra={key: value for key, value in stored.items() if key not in readers})

    def to_json(self) -> dict[str, Any]:
        """The value that `from_json` reads, with the keys in the order of the fields."""
        stored = {}
        for attribute in fields(self):
            value = getattr(self, attribute.name)
            if attribute.name != "extra" and not (value is None and attribute.default is None):
                stored[_key(attribute)] = plain(value)
        return {**stored, **self.extra}


def plain(value: Any) -> Any:
    """A field's value in the form of JSON."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _key(attribute: Any) -> str:
    return str(attribute.metadata.get("key", attribute.name))


@cache
def _readers(part: type[Part]) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """key -> the field's name, and the function that reads its value."""
    kinds = get_type_hints(part)
    return {
        _key(attribute): (attribute.name, _reader(kinds[attribute.name]))
        for attribute in fields(part)
        if attribute.name != "extra"
    }


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
