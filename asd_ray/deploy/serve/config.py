"""What is served: the options of ``asd-ray serve``, and the ``args`` of Serve's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from asd_ray._names import check_name
from asd_ray._shapes import DictOf, Flag, Maybe, Number, Text, fault, object_of
from asd_ray.errors import AsdRayError, unknown

SHAPE = object_of(
    {
        "bundles": DictOf(Text()),
        "token": Flag(),
        "max_megabytes": Number(0, 2000, above=True),
        "max_minutes": Number(0, 24 * 60, above=True),
        "false_alarms": Maybe(Number(0, 0.5, above=True)),
    },
)


@dataclass(frozen=True)
class ServeConfig:
    """Bundles by name, who may use them, and the largest recording that is accepted."""

    bundles: Mapping[str, str]  # name in the address -> folder, as the replicas see it
    token: bool = True  # each request needs Ray's token
    max_megabytes: float = 64.0  # of a request's body
    max_minutes: float = 10.0  # of sound: a small flac file can hold hours of silence
    false_alarms: float | None = None  # the share of normal clips above the threshold, instead of the bundle's

    def __post_init__(self) -> None:
        if not self.bundles:
            raise AsdRayError("no bundle to serve; name one, such as fan=fan.bundle")
        if problem := fault(SHAPE, self.to_args()):
            raise AsdRayError(f"this cannot be served: {problem}")
        for name in self.bundles:
            check_name("bundle", name, "because it is part of an address")

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> Self:
        """Read the ``args`` of Serve's configuration file."""
        for key in args:
            if key not in SHAPE.shapes:
                raise unknown("argument", str(key), SHAPE.shapes)
        if not isinstance(args.get("bundles"), dict):
            raise AsdRayError("the argument bundles must name folders, such as bundles: {fan: /srv/fan.bundle}")
        return cls(**args)

    def to_args(self) -> dict[str, Any]:
        return {**asdict(self), "bundles": dict(self.bundles)}
