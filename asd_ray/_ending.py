"""The end of a process that ran one command."""

from __future__ import annotations

import atexit
import gc


def end_quickly() -> None:
    """Let Python skip its last searches for garbage. Where torch was imported they take a second, for nothing."""
    atexit.register(gc.freeze)
