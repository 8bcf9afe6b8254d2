"""The time limit of a trial: a worker whose trial hangs is ended, whatever code it hangs in."""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

STDERR = 2  # the worker's log
GRACE = 60.0  # seconds that storing the failed trial may take; then the process ends in any case


@dataclass(frozen=True)
class TimeLimits:
    """How long a trial of a search on Ray may take, all in seconds."""

    trial: float | None = None  # how long a trial may take; None: no limit
    waiting: float = 0.0  # how long a node may lack what a trial needs
    grace: float = field(default_factory=lambda: GRACE)  # beyond `trial`, until the worker ends without storing


class Watchdog:
    """Ends this process after `seconds`, unless it is cancelled before.

    `before_exit` runs first, in another thread, which needs Python's global lock. Code that hangs and never releases
    that lock is ended by a timer in C, `grace` seconds later; the search then sees a dead worker and nothing else.
    """

    def __init__(self, seconds: float, before_exit: Callable[[], None], grace: float = GRACE) -> None:
        self._before_exit = before_exit
        self._cancelled = threading.Event()
        self._timer = threading.Timer(seconds, self._end_process)
        self._timer.daemon = True
        self._timer.start()
        faulthandler.dump_traceback_later(seconds + grace, exit=True, file=STDERR)

    def cancel(self) -> None:
        self._cancelled.set()
        self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    def _end_process(self) -> None:
        if self._cancelled.is_set():
            return
        faulthandler.dump_traceback(all_threads=True, file=STDERR)  # shows where it hangs
        try:
            self._before_exit()
        finally:
            if not self._cancelled.is_set():
                os._exit(1)
