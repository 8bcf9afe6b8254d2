"""A whole watch: events to the output and to the receivers, until the input ends or a signal comes."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from asd_ray._signals import acting_thread
from asd_ray._terminal import say
from asd_ray.deploy.watch.delivery import Delivery, Receiver
from asd_ray.deploy.watch.events import Event
from asd_ray.deploy.watch.spool import LIMIT, Spool
from asd_ray.deploy.watch.watch import Watch
from asd_ray.storage.caches import cache_root


def run_watch(watch: Watch, show: Callable[[Event], None], deliveries: Sequence[Delivery] = ()) -> None:
    """Give every event to the deliveries and to `show`, in this order: an event that was shown is on its way."""
    try:
        for event in watch:
            for delivery in deliveries:
                delivery.put(event)
            show(event)
    finally:
        for delivery in deliveries:
            delivery.close()


def show_line(event: Event) -> None:
    """Print one line of JSON at once, for a program that reads from a pipe."""
    say(json.dumps(event.to_json(), allow_nan=False))
    sys.stdout.flush()


def deliver(
    receivers: Sequence[tuple[Receiver, str]],
    watch: Watch,
    notify: Callable[[str], None],
    *,
    spool: Path | None = None,
    limit_mb: float = LIMIT,
) -> list[Delivery]:
    """A delivery for each (receiver, address), with a spool of its own below `spool` (default: in the user's cache).

    The folder depends on the machine, its id and the address, so that the same watch finds its spool again.
    """
    root = cache_root() / "watch" if spool is None else spool
    made: list[Delivery] = []
    try:
        for receiver, address in receivers:
            key = "\0".join((watch.scorer.machine, watch.id, address))
            folder = root / f"{type(receiver).__name__.lower()}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
            made.append(Delivery(receiver, Spool(folder, limit_mb), notify))
    except BaseException:
        for delivery in made:
            delivery.close(grace=0.0)
        raise
    return made


@contextmanager
def stopped_by_signals(watch: Watch) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop the watch in order. A second one ends the process as usual."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    with acting_thread(lambda number: watch.stop(signal.Signals(number).name)) as tell:

        def stop(number: int, frame: FrameType | None) -> None:
            tell(number)
            restore()

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            restore()
