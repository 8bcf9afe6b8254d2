"""Types of arguments: text of the command line in, a checked value out. For `type=` of argparse."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from asd_ray.errors import AsdRayError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def positive(text: str) -> int:
    """A count: 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 but got {text!r}")
    return int(text)


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
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or float(parts[1]) == 0:
        raise argparse.ArgumentTypeError(f"must be a number with s, m, h or d, such as 30m, but got {text!r}")
    return float(parts[1]) * SECONDS[parts[2]]


def amount(text: str) -> float:
    """A number of CPUs or GPUs: a share of one, or whole ones."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    is_share = value <= 1 and value == round(value, 4)  # Ray's smallest step is 0.0001
    if value < 0 or not (is_share or value.is_integer()):
        raise argparse.ArgumentTypeError(
            f"must be a share up to 1 in steps of 0.0001, or a whole number, but got {text!r}"
        )
    return value


def above_0(text: str) -> float:
    """An `amount` of CPUs: every trial needs some."""
    value = amount(text)
    if not value:
        raise argparse.ArgumentTypeError(f"must be above 0, because every trial computes, but got {text!r}")
    return value


def gib(text: str) -> float:
    """Memory in GiB."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be GiB from 0, such as 4, but got {text!r}")
    return value


def seed_number(text: str) -> int:
    """A seed of random numbers, at most the largest that scikit-learn accepts."""
    if not text.isdecimal() or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {2**32 - 1} but got {text!r}")
    return int(text)
