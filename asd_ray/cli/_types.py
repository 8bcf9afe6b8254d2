"""Types of arguments: text of the command line in, a checked value out. For `type=` of argparse."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar

from asd_ray._rules import (
    ABOVE_0,
    AMOUNT,
    COUNT,
    DURATION_TEXT,
    GIB,
    INFER_LIMIT,
    PORT,
    SEED,
    Rule,
    seconds_of,
    short_seconds_of,
)
from asd_ray.errors import AsdRayError

T = TypeVar("T", int, float)


def positive(text: str) -> int:
    """A count: 1 or more."""
    return _checked(text, _whole(text), COUNT)


def local_path(text: str) -> Path:
    """A file or a folder on a disk of this computer, not an address such as ``s3://…``."""
    from asd_ray.storage.places import local

    try:
        return local(text, "it")
    except AsdRayError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def names(text: str) -> list[str]:
    """Names of families: "a,b"."""
    parts = [name.strip() for name in text.split(",") if name.strip()]
    if not parts:
        raise argparse.ArgumentTypeError(f"must name at least one but got {text!r}; leave it out for the default")
    return parts


def duration(text: str) -> float:
    """A duration in seconds: 30m -> 1800."""
    seconds: float = _checked(text, seconds_of(text), DURATION_TEXT)
    return seconds


def infer_limit(text: str) -> float:
    """A time in seconds: 50ms -> 0.05."""
    seconds: float = _checked(text, short_seconds_of(text), INFER_LIMIT)
    return seconds


def amount(text: str) -> float:
    """A number of CPUs or GPUs: a share of one, or whole ones."""
    return _checked(text, _number(text), AMOUNT)


def above_0(text: str) -> float:
    """An `amount` of CPUs: every trial needs some."""
    return _checked(text, _number(text), AMOUNT, ABOVE_0)


def gib(text: str) -> float:
    """Memory in GiB."""
    return _checked(text, _number(text), GIB)


def port_number(text: str) -> int:
    """A port to listen on."""
    return _checked(text, _whole(text), PORT)


def seed_number(text: str) -> int:
    """A seed of random numbers."""
    return _checked(text, _whole(text), SEED)


def _whole(text: str) -> int | str:
    try:
        return int(text) if text.isdecimal() else text
    except ValueError:  # Python reads no number of thousands of digits
        return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _checked(text: str, value: T | str, *rules: Rule) -> T:
    for rule in rules:
        if not rule.allows(value):
            raise argparse.ArgumentTypeError(f"{rule.words} but got {text!r}")
    assert not isinstance(value, str)  # no rule allows it
    return value
