"""The folder in which a node keeps what it can compute again: decoded audio, features, the demo set."""

from __future__ import annotations

import os
from pathlib import Path

from asd_ray.errors import StorageError
from asd_ray.storage.places import local

CACHE_VARIABLE = "ASD_RAY_CACHE"
CACHE_CURE = f"name a folder on another disk with --cache DIR or ${CACHE_VARIABLE}"


def cache_root(explicit: str | Path | None = None) -> Path:
    """The folder of the cache: `explicit`, $ASD_RAY_CACHE, or ~/.cache/asd_ray."""
    named = "--cache"
    if explicit is None:
        explicit, named = (
            os.environ.get(CACHE_VARIABLE) or None,
            f"${CACHE_VARIABLE}",
        )  # empty: not set
    try:
        if explicit is not None:
            return local(explicit, f"the cache ({named})").absolute()
        shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (shared if shared.is_absolute() else Path.home() / ".cache") / "asd_ray"  # not a relative one
    except RuntimeError as error:  # a user without a home folder, or ~NAME of an unknown user
        raise StorageError(
            f"the cache has no place ({error}); name a folder with --cache DIR or ${CACHE_VARIABLE}, or set $HOME"
        ) from error
