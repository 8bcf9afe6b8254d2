"""The sizes of an encoder, noted in the node's cache, so that a fresh worker need not load it to read embeddings.

    <cache>/encoders/<net>-<hash of its files>.json    {"sizes": [layers, bands, width], "check": …}

A note that is damaged, or cannot be read, is ignored and written again. A cache that cannot be written to costs time
only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from asd_ray.storage.atomic import written_aside

FOLDER = "encoders"  # of the cache
Sizes = tuple[int, int, int]  # layers, bands and width
VERSION = 1  # raised when an adapter gives another number of layers or bands
LARGEST = 1 << 10  # bytes of a note


def noted_sizes(pretrained: str, folder: str, load: Callable[[], Sizes]) -> Sizes:
    """The sizes of the encoder that `pretrained` names by its content. `load` learns them where no note says them.

    Without a `folder`, or without a hash in the name, nothing is noted.
    """
    if not folder or ":" not in pretrained:
        return load()
    path = Path(folder) / f"{pretrained.replace(':', '-')}.json"
    sizes = _read(path, pretrained)
    if sizes is None:
        sizes = load()
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(path) as aside:
                aside.write_text(json.dumps({"sizes": list(sizes), "check": _check(pretrained, list(sizes))}))
    return sizes


def _read(path: Path, pretrained: str) -> Sizes | None:
    try:
        with open(path, "rb") as file:
            note = json.loads(file.read(LARGEST))
        layers, bands, width = note["sizes"]
        is_whole = note["check"] == _check(pretrained, note["sizes"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return (layers, bands, width) if is_whole else None


def _check(pretrained: str, sizes: list[int]) -> str:
    """A digest of what a note says."""
    return hashlib.sha256(f"{VERSION} {pretrained} {sizes}".encode()).hexdigest()[:16]
