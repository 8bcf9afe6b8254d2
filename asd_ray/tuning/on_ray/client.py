"""``--address ray://HOST:10001``: the search runs on the cluster and this terminal shows its output, by Ray's client.

The search ends when this terminal is closed. A search of `ray exec --tmux` continues.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.tuning.on_ray._ray import ray
from asd_ray.tuning.on_ray.cluster import NOT_JOINED, first_line
from asd_ray.tuning.on_ray.head_monitor import answers

WAIT = 1.0  # seconds that one call waits for output
DIES_WITH_PARENT = 1  # Linux: PR_SET_PDEATHSIG


class Driver:
    """An actor on the cluster's head that runs ``asd-ray search`` as its own process and passes its output on."""

    def __init__(self, argv: Sequence[str], environment: dict[str, str]) -> None:
        address = ray.get_runtime_context().gcs_address
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asd_ray.search", *argv, "--address", address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            preexec_fn=_prepare,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._process.wait()

    def lines(self) -> tuple[list[str], int | None]:
        """The output since the last call; and the exit status, once the process has ended and no output is left."""
        output = []
        try:
            output.append(self._lines.get(timeout=WAIT))
            while True:
                output.append(self._lines.get_nowait())
        except queue.Empty:
            pass
        return output, None if output else self._process.poll()

    def interrupt(self) -> None:
        """Send Ctrl-C: the first time the search finishes its running trials, the second time it stops at once."""
        self._process.send_signal(signal.SIGINT)


def _prepare() -> None:
    """Called in the new process: unblock Ctrl-C, which Ray blocks in its workers, and end with the parent process."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)


def search_on_cluster(address: str, argv: Sequence[str], say: Callable[[str], Any]) -> int:
    """Run the command `argv` on the cluster and return its exit status. `Driver` adds the cluster's own address."""
    try:
        if not answers(address.removeprefix("ray://").partition("/")[0]):  # Ray's client would try for a minute
            raise ConnectionError("nothing answers there")
        ray.init(address=address, logging_level=logging.ERROR)
    except NOT_JOINED as error:
        raise AsdRayError(
            f"{address}: Ray's client could not connect ({first_line(error)}); where the server failed to start, run "
            "the same command again; else: is its port reachable, and ~/.ray/auth_token the cluster's own? `ray attach "
            "cluster.yaml -p 10001` forwards the port"
        ) from error
    driver: Any = None
    try:
        actor: Any = ray.remote(Driver)
        actor = actor.options(num_cpus=0, resources={"node:__internal_head__": 0.001}, max_concurrency=4)
        driver = actor.remote(list(argv), {"COLUMNS": "140", "RAY_COLOR_PREFIX": "0"})
        return _follow(driver, say)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise AsdRayError(
            f"{address}: the search's process on the head is gone ({first_line(error)}); every stored trial is kept: "
            "run the same command again; asd_ray must be installed on the head"
        ) from error
    finally:
        if driver is not None:
            with contextlib.suppress(ray.exceptions.RayError, ConnectionError):
                ray.kill(driver)
        ray.shutdown()


def _follow(driver: Any, say: Callable[[str], Any]) -> int:
    """Print the driver's output and pass on every Ctrl-C until it ends; returns its exit status."""
    passed_on = 0
    with _counted_interrupts() as interrupts:
        while True:
            lines, status = ray.get(driver.lines.remote())
            for line in lines:
                say(line)
            if status is not None:
                return int(status)
            while passed_on < len(interrupts):
                ray.get(driver.interrupt.remote())
                passed_on += 1


@contextmanager
def _counted_interrupts() -> Iterator[list[int]]:
    """One entry per Ctrl-C. Only the third raises KeyboardInterrupt, because Ray's client may swallow the exception."""
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if len(interrupts) > 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
