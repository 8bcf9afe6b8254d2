"""Bytes on the way from the thread that reads them to the one that uses them."""

from __future__ import annotations

import threading

LIMIT = 4 << 20  # bytes: 44 s of one channel at 48 kHz


class ByteBuffer:
    """At most about `limit` bytes. `put` waits while it is full, `take` while it is empty."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._arrived = 0.0
        self._ended = self._closed = False
        self._error: OSError | None = None
        self._changed = threading.Condition()

    def put(self, data: bytes, arrived: float) -> bool:
        """Add bytes that came at the time `arrived`; none mean the end of the input. False if nobody takes them."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._bytes) < self._limit or self._closed)
            if self._closed:
                return False
            self._bytes += data
            self._arrived = arrived
            self._ended = not data
            self._changed.notify_all()
            return not self._ended

    def fail(self, error: OSError) -> None:
        """`take` raises this error after it has returned all bytes."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of a waiting `put`; nothing more will be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, timeout: float) -> tuple[bytes, float] | None:
        """All bytes, with the time at which the last of them came; b"" at the end, None if there are none yet."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._bytes or self._ended or self._error, timeout):
                return None
            data, self._bytes = bytes(self._bytes), bytearray()
            if not data and self._error is not None:
                raise self._error
            self._changed.notify_all()
            return data, self._arrived
