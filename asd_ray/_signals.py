"""Let a signal handler act through a thread.

Python runs a handler in the main thread, between any two steps of it. A handler that takes a lock which the main thread
holds at that moment waits forever: `threading.Event.set` is such a call, and so is every print.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def acting_thread(act: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """Yield a function that a signal handler may call with the signal's number; a thread then calls `act` with it.

    Handlers must not call it after the block. At its end, every call of `act` has returned.
    """
    reading, writing = os.pipe()

    def serve() -> None:
        while numbers := os.read(reading, 1):
            act(numbers[0])

    def tell(number: int) -> None:
        os.write(writing, bytes([number]))

    thread = threading.Thread(target=serve, daemon=True, name="signals")
    thread.start()
    try:
        yield tell
    finally:
        os.close(writing)
        thread.join()
        os.close(reading)
