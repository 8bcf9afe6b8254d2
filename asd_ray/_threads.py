"""How many threads to start."""

from __future__ import annotations

import os

MOST_THREADS = 256  # more are never faster, and a system may refuse to start them


def threads(asked: int | None, tasks: int) -> int:
    """How many threads to start: `asked`, or one per core, but not more than there are tasks."""
    return max(1, min(asked or os.cpu_count() or 1, tasks, MOST_THREADS))
