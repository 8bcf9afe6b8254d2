"""Keep the memory of a training step for the next one, where glibc would return it to the system and ask again.

glibc maps every tensor above 32 MB anew, and the kernel clears its pages each time: with large batches that was a third
of the processor time of a training step.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of mallopt
DEFAULT_MMAP_MAX = 65_536
# glibc begins with 128 KiB for both thresholds and raises them to these values as large blocks are freed. Once mallopt
# was called, it raises them no more.
RAISED_MMAP_THRESHOLD, RAISED_TRIM_THRESHOLD = 32 << 20, 64 << 20
UNLIMITED, NO_MAPS = -1, 0

_lock = threading.Lock()
_holders = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, freed memory stays with this process; at the end it is returned. It does nothing where glibc is missing.

    It holds for the whole process and may be entered several times at once: the last to leave returns the memory.
    """
    _hold(1)
    try:
        yield
    finally:
        _hold(-1)


def _hold(change: int) -> None:
    global _holders
    glibc = _glibc()
    if glibc is None:
        return
    with _lock:
        before, _holders = _holders, _holders + change
        if not before:
            glibc.mallopt(M_MMAP_MAX, NO_MAPS)
            glibc.mallopt(M_TRIM_THRESHOLD, UNLIMITED)
        elif not _holders:
            glibc.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
            glibc.mallopt(M_MMAP_THRESHOLD, RAISED_MMAP_THRESHOLD)
            glibc.mallopt(M_TRIM_THRESHOLD, RAISED_TRIM_THRESHOLD)
            glibc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
