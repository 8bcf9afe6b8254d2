"""A clear message when the cluster that a search has joined is gone. Ray itself ends the process without one."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from asd_ray._log import LOGGER, line

LOOK = 2.0  # seconds between two connections to the cluster's head, and the timeout of each
LOST = 40.0  # seconds of silence after which the cluster counts as lost; after 60 Ray's own threads end the process
CURE = "every stored trial is kept; once the cluster is up again, run the same command"


@contextmanager
def monitor_head(address: str) -> Iterator[None]:
    """Watch the head at HOST:PORT from another thread, for as long as the block lasts.

    A call to a lost head waits, so the main thread cannot watch it. A head that was started again does not help: it
    does not know this search, and Ray ends the process when it notices that. So the first silence is reported at once.
    """
    over = threading.Event()
    threading.Thread(target=_watch, args=(address, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(address: str, over: threading.Event) -> None:
    answered = time.monotonic()
    warned = False
    while not over.wait(LOOK):
        if answers(address):
            answered, warned = time.monotonic(), False
            continue
        silent = time.monotonic() - answered
        if silent > LOST:
            why = f"the cluster's head at {address} is gone, so this search ends; {CURE}"
            LOGGER.error("%s", line("cluster_lost", text=why))
            os._exit(2)
        if not warned:
            why = f"the cluster's head at {address} does not answer; should this search end, {CURE}"
            LOGGER.warning("%s", line("cluster_silent", text=why))
            warned = True


def answers(address: str) -> bool:
    """Whether anything listens at HOST:PORT. False for text that is no such address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK):
            return True
    except (OSError, ValueError, OverflowError):
        return False
