"""``--address ray://HOST:10001``: the search runs on the cluster, and this terminal follows it through Ray's client.

It ends with this terminal; `ray exec --tmux` starts one that does not.
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

WAIT = 1.0  # seconds that one call waits for a line
DIES_WITH_PARENT = 1  # Linux: PR_SET_PDEATHSIG


class Driver:
    """On the cluster's head: ``asd-ray search`` as a process of its own, whose lines are fetched."""

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
        """What it has said since, and its exit status once it is over and all was fetched."""
        found = []
        try:
            found.append(self._lines.get(timeout=WAIT))
            while True:
                found.append(self._lines.get_nowait())
        except queue.Empty:
            pass
        return found, None if found else self._process.poll()

    def interrupt(self) -> None:
        """Ctrl-C: once it finishes what runs, twice it stops."""
        self._process.send_signal(signal.SIGINT)


def _prepare() -> None:
    """In the new process: Ctrl-C reaches it although Ray blocks that in its workers, and it ends with its parent."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)


def search_there(address: str, argv: Sequence[str], say: Callable[[str], Any]) -> int:
    """Run the command `argv` on the cluster; its exit status. The driver there adds the address that counts."""
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
        made: Any = ray.remote(Driver)
        made = made.options(num_cpus=0, resources={"node:__internal_head__": 0.001}, max_concurrency=4)
        driver = made.remote(list(argv), {"COLUMNS": "140", "RAY_COLOR_PREFIX": "0"})
        return _followed(driver, say)
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise AsdRayError(
            f"{address}: the search's process on the head is gone ({first_line(error)}); every stored trial is kept: "
            "run the same command again, with asd_ray installed on the head"
        ) from error
    finally:
        if driver is not None:
            with contextlib.suppress(ray.exceptions.RayError, ConnectionError):
                ray.kill(driver)
        ray.shutdown()


def _followed(driver: Any, say: Callable[[str], Any]) -> int:
    passed_on = 0
    with _pressed() as presses:
        while True:
            lines, status = ray.get(driver.lines.remote())
            for line in lines:
                say(line)
            if status is not None:
                return int(status)
            while passed_on < len(presses):
                ray.get(driver.interrupt.remote())
                passed_on += 1


@contextmanager
def _pressed() -> Iterator[list[int]]:
    """Every Ctrl-C, noted: raised in the midst of Ray's client it could be lost there. The third is raised."""
    presses: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        presses.append(number)
        if len(presses) > 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)
