"""Heartbeat files: a search writes its state every few seconds, and others see what it does and whether it is alive.

Reading them needs neither Ray nor torch.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_ray._json import loads
from asd_ray._log import LOGGER, line
from asd_ray._shapes import DictOf, Text, Whole, object_of
from asd_ray.errors import AsdRayError
from asd_ray.storage.files import Files, Stored

EVERY, EVERY_S3 = 5.0, 15.0  # seconds between two beats on a disk and on S3
LATE = 1.5  # the thread beats after so many intervals, even if `soon` was not called
ALIVE = 60.0  # seconds without a beat after which a process counts as dead
READINGS = 4  # of a file that cannot be parsed, before it counts as no heartbeat
MOST_BYTES = 16 << 20  # of a file; a search with a thousand studies and a thousand running trials writes under 1 MB
BEAT = object_of(  # the fields that this module and the locks read
    {"host": Text(), "place": Text(), "born": Text(), "claims": DictOf(Text())}, pid=Whole()
)
LAST_BEAT = 10.0  # seconds that the end of a search waits for a last beat if S3 does not answer


def new_driver() -> str:
    """A unique name for the file of this process, on this and all other computers."""
    host = re.sub(r"[^A-Za-z0-9_+-]", "-", socket.gethostname())[:60]
    return f"{host or 'host'}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@functools.cache
def _place() -> str:
    """The boot of this computer and its PID namespace: a process can be looked up if both are the same.

    The host's name is not enough, because containers may share it and see other processes. "" without /proc.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process of this place started, in ticks of the kernel; it differs if a process number is used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class BeatingFile:
    """A small JSON file that a thread writes every few seconds until this process ends or calls `close`.

    The thread continues while the search waits for Ray or for S3, and a slow S3 never delays the search.
    """

    def __init__(
        self,
        files: Files,
        path: str,
        content: Callable[[], dict[str, Any]],
        prepare: Callable[[], None] = lambda: None,  # called by the thread first
    ) -> None:
        self.path = path
        self.every = EVERY_S3 if files.layout.is_s3 else EVERY
        self._files, self._content, self._prepare = files, content, prepare
        self._process = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "place": _place(),
            "born": _born(os.getpid()),
        }
        self._wake, self._closed = threading.Event(), False
        self._writing = threading.Lock()  # so that no old content replaces a newer one
        self._thread: threading.Thread | None = None
        self._failing = False

    def put(self) -> None:
        """Write the file now, or raise."""
        with self._writing:
            self._files.put(self.path, json.dumps({**self._process, **self._content()}, default=str).encode())

    def start(self) -> None:
        """Write the file every few seconds from now on; the thread writes it at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()
            atexit.register(self.close)  # before pyarrow shuts down S3, which the thread uses

    def soon(self) -> None:
        """Let the thread write the file now, without waiting for it."""
        self._wake.set()

    def close(self) -> None:
        """Stop the thread and remove the file, unless the disk or S3 does not answer."""
        atexit.unregister(self.close)
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LAST_BEAT)
            if self._thread.is_alive():
                return
        with contextlib.suppress(AsdRayError):
            self._files.remove(self.path)

    def _beat(self) -> None:
        self._prepare()
        while not self._closed:
            try:
                self.put()
                self._failing = False
            except Exception as error:  # if the thread ended, the search would look as if it was killed
                if not self._failing:
                    LOGGER.warning("%s", line("heartbeat_failed", error=str(error)))
                self._failing = True
            self._wake.wait(self.every * LATE)
            self._wake.clear()


@dataclass(frozen=True)
class Beat:
    """A heartbeat file that was read."""

    driver: str  # the file's name
    path: str
    content: dict[str, Any]
    stamp: float  # when it was written, by the clock of the store (the disk or S3)
    silent: float  # seconds since then, by the same clock
    here: bool  # written on this computer, so the process can be looked up
    alive: bool

    def __str__(self) -> str:
        return f"process {self.content.get('pid')} on {self.content.get('host')}"


def store_clock(files: Files, folder: str) -> float:
    """The time by the clock of the store that holds `folder`: the time of a file that is written now.

    Clocks of other computers may be an hour off, so the age of a file is always the difference of two times of one
    store.
    """
    probe = f"{folder}/.probe-{uuid.uuid4().hex}"
    files.put(probe, b"")
    try:
        stored = files.stat(probe)
    finally:
        files.remove(probe)
    if stored is None:
        raise AsdRayError(f"{files.layout.url(probe)}: vanished as soon as it was written; is the run being removed?")
    return stored.stamp


def read_beats(files: Files, listed: list[Stored], now: float) -> list[Beat]:
    """The heartbeats among the listed files; `now` is the `store_clock`."""
    beats = (_read(files, stored, now) for stored in listed if is_beat(stored))
    return [beat for beat in beats if beat is not None]


def is_beat(stored: Stored) -> bool:
    return stored.name.endswith(".json") and not stored.name.startswith(".") and not stored.kind


def _read(files: Files, stored: Stored, now: float) -> Beat | None:
    """The heartbeat; None if the file is gone by now, or is no heartbeat."""
    content = _content(files, stored)
    if BEAT.misfit(content):
        return None
    here = bool(content.get("born")) and content.get("place") == _place() != ""
    silent = max(0.0, now - stored.stamp)
    alive = silent <= ALIVE and (not here or _born(content["pid"]) == content["born"])
    return Beat(stored.name.removesuffix(".json"), stored.path, content, stored.stamp, silent, here, alive)


def _content(files: Files, stored: Stored) -> Any:
    """The content of the file; None if it is gone, or is not JSON.

    S3 is asked for the size of a file first, and then for that many bytes. A file that is written in between comes cut
    short, with random bytes at its end, or as an error of the server. It must then be read again: if a claim is
    overlooked, two searches take the same study.
    """
    url = files.layout.url(stored.path)
    for reading in range(READINGS if stored.size <= MOST_BYTES else 0):
        try:
            with files.open(stored.path) as opened:
                content = opened.read(MOST_BYTES)
            return loads(content, url)
        except FileNotFoundError:
            return None
        except AsdRayError:
            continue
        except OSError as error:
            if reading + 1 == READINGS:
                raise AsdRayError(
                    f"{url}: cannot be read ({error}); check the disk or S3 and the permissions"
                ) from error
    return None
