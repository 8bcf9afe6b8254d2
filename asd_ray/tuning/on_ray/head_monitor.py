"""What a search says when the cluster that it joined is gone: Ray itself ends the process without a word of use."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from asd_ray._log import LOGGER, line

LOOK = 2.0  # seconds between two looks at the cluster's head, and that each may take
LOST = 40.0  # seconds of silence after which the cluster counts as lost; after 60 Ray's own threads end the process
CURE = "every stored trial is kept; once the cluster is up again, run the same command"


@contextmanager
def monitor_head(address: str) -> Iterator[None]:
    """Watch the head at HOST:PORT for as long as the block lasts, from a thread of its own.

    Whatever asks a lost head for something waits, the main thread too. A head that was started anew is no help: it
    knows nothing of this search, and Ray ends the process when it notices. So the warning comes at the first silence.
    """
    over = threading.Event()
    threading.Thread(target=_watch, args=(address, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(address: str, over: threading.Event) -> None:
    heard = time.monotonic()
    warned = False
    while not over.wait(LOOK):
        if answers(address):
            heard, warned = time.monotonic(), False
            continue
        silent = time.monotonic() - heard
        if silent > LOST:
            why = f"the cluster's head at {address} is gone, so this search ends; {CURE}"
            LOGGER.error("%s", line("cluster_lost", text=why))
            os._exit(2)
        if not warned:
            why = f"the cluster's head at {address} does not answer; should this search end, {CURE}"
            LOGGER.warning("%s", line("cluster_silent", text=why))
            warned = True


def answers(address: str) -> bool:
    """Whether anything listens at HOST:PORT; at what is no such address nothing does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK):
            return True
    except (OSError, ValueError, OverflowError):
        return False
