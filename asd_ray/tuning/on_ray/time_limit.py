"""The time limit of a trial: a worker whose trial hangs is ended, whatever it hangs in."""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

STDERR = 2  # the worker's log
GRACE = 60.0  # seconds that storing the failed trial may take before the process ends all the same


@dataclass(frozen=True)
class TimeLimits:
    """How long a trial of a search on Ray may take, all in seconds."""

    trial: float | None = None  # how long a trial may take; None: no limit
    waiting: float = 0.0  # how long a node may lack what a trial needs
    grace: float = field(default_factory=lambda: GRACE)  # beyond `trial`, until the worker ends without storing


class Watchdog:
    """Ends this process `seconds` after it is made, unless it is called off.

    First `last_words` runs in a thread of its own, which needs Python's lock. What hangs with that lock held is ended
    by a timer that needs nothing, `grace` seconds later; then a dead worker is all that the search sees.
    """

    def __init__(self, seconds: float, last_words: Callable[[], None], grace: float = GRACE) -> None:
        self._last_words = last_words
        self._off = threading.Event()
        self._timer = threading.Timer(seconds, self._bite)
        self._timer.daemon = True
        self._timer.start()
        faulthandler.dump_traceback_later(seconds + grace, exit=True, file=STDERR)

    def call_off(self) -> None:
        self._off.set()
        self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    def _bite(self) -> None:
        if self._off.is_set():
            return
        faulthandler.dump_traceback(all_threads=True, file=STDERR)  # where it hung
        try:
            self._last_words()
        finally:
            if not self._off.is_set():
                os._exit(1)
