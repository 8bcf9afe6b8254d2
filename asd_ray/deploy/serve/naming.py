"""Bundles and the names that they have in addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asd_ray.deploy.bundle import Bundle
from asd_ray.errors import AsdRayError
from asd_ray.storage.places import local

NAMED = re.compile(r"([^/=]+)=(.+)", re.DOTALL)


def read_bundles(words: Iterable[str]) -> dict[str, tuple[str, Bundle]]:
    """name -> (absolute path, bundle) of words such as ``fan.bundle`` and ``left=lines/fan.bundle``.

    A bundle without a name is named after its machine. Each is read, so that a missing or changed one is an error
    before a server starts.
    """
    found: dict[str, tuple[str, Bundle]] = {}
    for word in words:
        match = NAMED.fullmatch(word)
        path = match[2] if match else word
        bundle = Bundle.load(path)
        name = match[1] if match else bundle.machine
        if name in found:
            raise AsdRayError(f"{found[name][0]} and {path} are both named {name}; name them, such as {name}1={path}")
        found[name] = (str(local(path, "a bundle").absolute()), bundle)
    return found
