"""Events that wait on disk for their receiver, one file each, until the receiver has them.

Names are <number>-<kind>.json, so that the order of names is the order of events. A file is written aside and renamed:
a killed watch leaves no half event. The next watch with this folder sends what is left.

A full spool makes room by removing lines of windows, the oldest first, and only then other events. What was removed is
counted in `dropped.json`; the receiver gets this count as an event of its own, before all that waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_ray import _json
from asd_ray.errors import AsdRayError, StorageError
from asd_ray.storage.atomic import remove_temporary, written_aside
from asd_ray.storage.locks import open_lock, try_lock
from asd_ray.storage.places import make_folder, storage_error

LIMIT = 64.0  # MB: 16,000 events
BLOCK = 4096  # bytes that a small file takes on a disk
WINDOW, DROPPED = "window", "dropped"
NOTICE = "dropped.json"  # counts what was removed since the last such notice was made ready to send
CURE = "name another folder with --spool"


@dataclass(frozen=True)
class Waiting:
    """An event on disk."""

    path: Path
    kind: str
    body: bytes


class Spool:
    """The waiting events for one receiver. One process at a time uses a spool; two threads of it may."""

    def __init__(self, folder: str | Path, limit_mb: float = LIMIT) -> None:
        if not limit_mb > 0:
            raise AsdRayError(f"--spool-limit must be above 0 MB but got {limit_mb:g}")
        self.folder = Path(folder).absolute()
        make_folder(self.folder, "the spool", CURE)
        self._descriptor = open_lock(self.folder / "lock")
        if not try_lock(self._descriptor):
            os.close(self._descriptor)
            raise AsdRayError(f"{self.folder}: another watch is using this spool; {CURE}")
        remove_temporary(self.folder)
        self._lock = threading.Lock()
        self._most = max(2, int(limit_mb * 1e6 / BLOCK))  # blocks
        self._waiting: deque[tuple[str, int]] = deque()  # name, blocks; in order
        self._blocks = 0
        for name in sorted(os.listdir(self.folder)):
            if name.endswith(".json") and name != NOTICE and name.split("-")[0].isdigit():
                self._append(name, (self.folder / name).stat().st_size)
        self._next = max((int(name.split("-")[0]) for name, _ in self._waiting), default=0) + 1
        self.dropped: Counter[str] = Counter()  # by kind, by this process
        self._unsaid: Counter[str] = Counter(_counts(self.folder / NOTICE))

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Let another process use the spool."""
        os.close(self._descriptor)

    def add(self, event: dict[str, Any]) -> None:
        """Store an event. Each gets a "delivery" of its own, by which a receiver knows what it has got twice."""
        kind = str(event["event"])
        body = json.dumps({**event, "delivery": uuid.uuid4().hex}, allow_nan=False).encode()
        with self._lock:
            name = f"{self._next:012d}-{kind}.json"
            self._next += 1
            self._write(name, body, sync=kind != WINDOW)
            self._append(name, len(body))
            if removed := Counter(self._make_room()):
                self.dropped += removed
                self._unsaid += removed
                notice = {"event": DROPPED, "counts": self._unsaid, "delivery": uuid.uuid4().hex}
                with contextlib.suppress(StorageError):  # written with the next one that is dropped
                    self._write(NOTICE, json.dumps(notice).encode(), sync=True)

    def oldest(self) -> Waiting | None:
        """The event to send next; None if none waits."""
        with self._lock:
            self._queue_notice()
            while self._waiting:
                name = self._waiting[0][0]
                try:
                    body = (self.folder / name).read_bytes()
                    if not isinstance(_json.loads(body, name), dict):
                        raise AsdRayError(f"{name}: this is no event")
                except (OSError, AsdRayError):  # a power cut can leave an empty file, and a user may remove files
                    self._forget(name)
                    continue
                return Waiting(self.folder / name, name.partition("-")[2].removesuffix(".json"), body)
            return None

    def remove(self, waiting: Waiting) -> None:
        """Called when the receiver has the event."""
        with self._lock:
            self._forget(waiting.path.name)

    def _append(self, name: str, size: int) -> None:
        blocks = -(-max(1, size) // BLOCK)
        self._waiting.append((name, blocks))
        self._blocks += blocks

    def _forget(self, name: str) -> None:
        with contextlib.suppress(OSError):  # on a disk that became read-only, the next watch sends it again
            os.unlink(self.folder / name)
        for entry in self._waiting:
            if entry[0] == name:
                self._waiting.remove(entry)
                self._blocks -= entry[1]
                return

    def _make_room(self) -> list[str]:
        """Remove events until the rest fits; their kinds."""
        removed = []
        while self._blocks > self._most and len(self._waiting) > 1:
            names = [name for name, _ in self._waiting if f"-{DROPPED}." not in name]
            name = next((name for name in names if name.endswith(f"-{WINDOW}.json")), names[0])
            removed.append(name.partition("-")[2].removesuffix(".json"))
            self._forget(name)
        return removed

    def _queue_notice(self) -> None:
        """Put the count of removed events first, unless an older one is there still."""
        first = f"{0:012d}-{DROPPED}.json"
        if (self.folder / NOTICE).exists() and not (self._waiting and self._waiting[0][0] == first):
            os.replace(self.folder / NOTICE, self.folder / first)
            self._unsaid.clear()
            self._waiting.appendleft((first, 0))

    def _write(self, name: str, body: bytes, sync: bool) -> None:
        try:
            with written_aside(self.folder / name, sync=sync) as aside:
                aside.write_bytes(body)
        except OSError as error:
            raise storage_error(error, self.folder / name, "the spool", CURE) from error


def _counts(notice: Path) -> dict[str, int]:
    """What an earlier watch removed and could not say."""
    try:
        counts: dict[str, int] = _json.loads(notice.read_bytes(), str(notice))["counts"]
        return counts
    except (OSError, AsdRayError, KeyError, TypeError):
        return {}
