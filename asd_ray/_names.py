"""The one rule for names that become folders of a run: machines, families, recipes."""

from __future__ import annotations

import hashlib
import re

from asd_ray.errors import AsdRayError

NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,127}")
LONGEST = 128
RULE = "must be 1 to 128 of the characters A-Z a-z 0-9 _ . + - and must not start with a dot"
FOLDER = "because it names a folder of the ledger"


def wrong_name(kind: str, name: str, why: str = FOLDER) -> str:
    return f"the {kind} name {name[: LONGEST + 2]!r} {RULE}, {why}; rename it"


def check_name(kind: str, name: str, why: str = FOLDER) -> str:
    """`name`, or AsdRayError if it cannot be the name of a folder; so no name leaves the run's folder."""
    if not NAME.fullmatch(name):
        raise AsdRayError(wrong_name(kind, name, why))
    return name


def shortened(name: str) -> str:
    """A name that joins several allowed ones, such as a study's; the end of a long one is replaced by a hash."""
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
