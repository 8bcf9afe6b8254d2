"""Send events to a receiver, in order, from a thread of its own: a slow receiver does not hold up scoring."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from asd_ray.deploy.watch.events import Event
from asd_ray.deploy.watch.spool import Spool
from asd_ray.errors import StorageError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between attempts; doubled after each
GRACE = 5.0  # seconds for what is left when the watch ends


class Undelivered(Exception):
    """The receiver did not take an event; why."""


class Receiver(Protocol):
    @property
    def name(self) -> str: ...  # for messages, without secrets

    @property
    def timeout(self) -> float: ...  # seconds, of one attempt

    def send(self, body: bytes) -> None:
        """Return when the receiver has confirmed that it has this JSON; raise `Undelivered` otherwise."""
        ...

    def close(self) -> None: ...


class Delivery:
    """Sends what is in a spool to a receiver. An event is removed from the spool only when the receiver confirms it.

    A receiver can therefore get an event twice, if the watch ends in between; both have the same "delivery".
    `notify` is called with a message for people when the receiver is away, when it is back, and when events are lost.
    """

    def __init__(
        self, receiver: Receiver, spool: Spool, notify: Callable[[str], None], *, first_pause: float = FIRST_PAUSE
    ) -> None:
        self._receiver, self._spool, self._notify = receiver, spool, notify
        self._first_pause = first_pause
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._said_full = False
        if len(spool):
            notify(f"{receiver.name}: {len(spool)} events of an earlier watch are sent first")
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch-{receiver.name}")
        self._thread.start()

    def put(self, event: Event) -> None:
        """Store an event to be sent. It returns as soon as the event is on disk."""
        dropped = self._spool.dropped.copy()
        try:
            self._spool.add(event.to_json())
        except StorageError as error:  # the watch goes on: its own output has the event
            self._notify(f"{self._receiver.name} will not get this {event.kind} event: {error}")
            return
        self._wake.set()
        lost = self._spool.dropped - dropped
        if lost and (not self._said_full or set(lost) != {"window"}):
            self._said_full = True
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(lost.items()))
            self._notify(
                f"{self._receiver.name}: the spool {self._spool.folder} is full, so the oldest waiting events are "
                f"dropped, lines of windows first (now: {kinds}); --spool-limit MB allows more"
            )

    def close(self, grace: float = GRACE) -> int:
        """Try for `grace` seconds to send the rest; how many events stay in the spool, for the next watch to send."""
        self._closing.set()
        self._wake.set()
        self._thread.join(grace)
        self._abandoned.set()
        left = len(self._spool)
        self._spool.close()
        if left:
            self._notify(
                f"{self._receiver.name}: {left} events could not be sent yet; they stay in {self._spool.folder}, and "
                "the same command sends them first when it runs again"
            )
        return left

    def _run(self) -> None:
        away, pause = 0.0, self._first_pause
        while not self._abandoned.is_set():
            self._wake.clear()
            waiting = self._spool.oldest()
            if waiting is None:
                self._said_full = False
                if self._closing.is_set():
                    break
                self._wake.wait()
                continue
            try:
                self._receiver.send(waiting.body)
            except Exception as error:  # also one that no receiver should raise: this thread must go on
                if not away:
                    away = time.monotonic()
                    self._notify(
                        f"{self._receiver.name}: {error or type(error).__name__}; events wait in {self._spool.folder}"
                    )
                if self._closing.is_set():
                    time.sleep(self._first_pause)
                else:
                    self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self._spool.remove(waiting)
            if away:
                self._notify(f"{self._receiver.name}: takes events again, after {time.monotonic() - away:.0f} s")
            away, pause = 0.0, self._first_pause
        self._receiver.close()
