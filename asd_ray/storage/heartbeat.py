"""Files that say "I am at work", written anew every few seconds: what a search tells of itself, and who is still alive.

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

EVERY, EVERY_S3 = 5.0, 15.0  # seconds between two beats: on a disk, on S3
LATE = 1.5  # times as long the thread waits for news before it beats without
ALIVE = 60.0  # seconds of silence after which a process counts as dead
READINGS = 4  # of a file that makes no sense, before it is taken to be no heartbeat
MOST_BYTES = 16 << 20  # of a file; a search of a thousand studies that runs a thousand trials writes less than 1 MB
BEAT = object_of(  # what is read here and by the locks
    {"host": Text(), "place": Text(), "born": Text(), "claims": DictOf(Text())}, pid=Whole()
)
LAST_BEAT = 10.0  # seconds that the end of a search waits for a beat that S3 does not answer


def new_driver() -> str:
    """A name for this process's file that no other process, here or elsewhere, will ever choose."""
    host = re.sub(r"[^A-Za-z0-9_+-]", "-", socket.gethostname())[:60]
    return f"{host or 'host'}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@functools.cache
def _place() -> str:
    """This computer since its last start, and this view of its processes: where both agree a process can be looked up.

    A host's name does not suffice: containers may share one and see other processes. Empty where there is no /proc.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process of this place started, in the kernel's ticks: a number that is used again is told apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class BeatingFile:
    """A small JSON file that a thread writes anew every few seconds until this process ends or closes it.

    The thread beats on while the search waits for Ray or for S3, and a slow S3 never holds up the search.
    """

    def __init__(
        self,
        files: Files,
        path: str,
        content: Callable[[], dict[str, Any]],
        prepare: Callable[[], None] = lambda: None,  # what the thread does first
    ) -> None:
        self.path = path
        self.every = EVERY_S3 if files.layout.is_s3 else EVERY
        self._files, self._content, self._prepare = files, content, prepare
        self._who = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "place": _place(),
            "born": _born(os.getpid()),
        }
        self._wake, self._over = threading.Event(), False
        self._writing = threading.Lock()  # so that no older content is written over a newer one
        self._thread: threading.Thread | None = None
        self._failing = False

    def put(self) -> None:
        """Write it now, or raise."""
        with self._writing:
            self._files.put(self.path, json.dumps({**self._who, **self._content()}, default=str).encode())

    def start(self) -> None:
        """Beat from now on; the first beat comes at once, from the thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()
            atexit.register(self.close)  # before pyarrow leaves S3, under the hands of a thread that beats on

    def soon(self) -> None:
        """Beat now, without waiting for it."""
        self._wake.set()

    def close(self) -> None:
        """No more beats; the file is removed, unless the disk or S3 does not answer."""
        atexit.unregister(self.close)
        self._over = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LAST_BEAT)
            if self._thread.is_alive():
                return
        with contextlib.suppress(AsdRayError):
            self._files.remove(self.path)

    def _beat(self) -> None:
        self._prepare()
        while not self._over:
            try:
                self.put()
                self._failing = False
            except Exception as error:  # a thread that ended would look like a search that was killed
                if not self._failing:
                    LOGGER.warning("%s", line("heartbeat_failed", error=str(error)))
                self._failing = True
            self._wake.wait(self.every * LATE)
            self._wake.clear()


@dataclass(frozen=True)
class Beat:
    """A heartbeat file as read."""

    driver: str  # the file's name
    path: str
    told: dict[str, Any]
    stamp: float  # when it was written, by the clock of the disk or of S3
    silent: float  # seconds since then, by the same clock
    here: bool  # written on this very computer, where the process can be looked up
    alive: bool

    def __str__(self) -> str:
        return f"process {self.told.get('pid')} on {self.told.get('host')}"


def store_clock(files: Files, folder: str) -> float:
    """What time it is for the disk or S3 that holds `folder`: the time of a file written just now.

    Clocks of other computers may be an hour off, so the ages of files are only ever told by comparing stamps that one
    and the same store gave.
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
    """The heartbeats among the listed files; `now` by the store's own clock."""
    read = (_read(files, stored, now) for stored in listed if is_beat(stored))
    return [beat for beat in read if beat is not None]


def is_beat(stored: Stored) -> bool:
    return stored.name.endswith(".json") and not stored.name.startswith(".") and not stored.kind


def _read(files: Files, stored: Stored, now: float) -> Beat | None:
    """None for one that is gone by now, or that is no heartbeat."""
    told = _told(files, stored)
    if BEAT.misfit(told):
        return None
    here = bool(told.get("born")) and told.get("place") == _place() != ""
    silent = max(0.0, now - stored.stamp)
    alive = silent <= ALIVE and (not here or _born(told["pid"]) == told["born"])
    return Beat(stored.name.removesuffix(".json"), stored.path, told, stored.stamp, silent, here, alive)


def _told(files: Files, stored: Stored) -> Any:
    """What the file says; None when it is gone, or is no JSON.

    Over S3 a file is asked for its size first, then for that many bytes. One that is written anew in between comes cut
    short, or with bytes that nobody wrote behind it, or with an error of the server: it must be read again, for a claim
    that is overlooked is a study that two searches take.
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
