"""How long work on clips reports its progress."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]  # clips done, clips in total


class ClipCounter:
    """Counts finished clips and reports each change to a callback, if there is one."""

    def __init__(self, total: int, callback: ProgressCallback | None) -> None:
        self.done, self.total = 0, total
        self._callback = callback

    def advance(self, count: int) -> None:
        self.done += count
        if self._callback is not None:
            self._callback(self.done, self.total)
