"""How many threads to start."""

from __future__ import annotations

import os

MOST_THREADS = 256  # more are no faster anywhere, and a system may refuse to start them


def threads(asked: int | None, tasks: int) -> int:
    """How many to start: as many as were asked for, or one a core, but no more than have something to do."""
    return max(1, min(asked or os.cpu_count() or 1, tasks, MOST_THREADS))
