"""One search a study: two commands that work into one run at once take different studies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from asd_ray._files import make_folder
from asd_ray.ledger import RunLayout


class StudyLocks:
    """Locks that the kernel frees when their holder dies. A run on S3 has none: there is nothing to lock there."""

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._held: list[int] = []

    def take(self, study: str) -> str:
        """Hold the lock of a study until this process ends; "" if it was free, else who holds it."""
        if self._layout.is_s3:
            return ""
        folder = Path(self._layout.locks)
        make_folder(folder, "the locks of the run")
        descriptor = os.open(folder / f"{study}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            return holder or "another search"
        self._held.append(descriptor)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        return ""

    def release(self) -> None:
        for descriptor in self._held:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._held.clear()
