"""Signal handlers act while the main thread holds the lock that they need."""

from __future__ import annotations

import signal
import threading
from typing import Any, cast

import pytest

from asd_ray._signals import acting_thread
from asd_ray.deploy.watch.session import stopped_by_signals


class Stoppable:
    """As a watch whose `stop` needs a lock."""

    def __init__(self) -> None:
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.reason = ""

    def stop(self, reason: str) -> None:
        with self.lock:
            self.reason = reason
            self.stopped.set()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_watch_whose_lock_is_held(number: signal.Signals) -> None:
    watch, before = Stoppable(), signal.getsignal(number)
    with stopped_by_signals(cast(Any, watch)):
        with watch.lock:
            signal.raise_signal(number)
        assert watch.stopped.wait(60)
        assert signal.getsignal(number) is before  # a second signal ends the process
    assert watch.reason == number.name


def test_every_call_has_returned_at_the_end_of_the_block() -> None:
    numbers: list[int] = []
    with acting_thread(numbers.append) as tell:
        for number in range(100):
            tell(number)
    assert numbers == list(range(100))
