"""A day of sound at full speed through a pipe into a watch: processor time, memory, and what a receiver got.

The scorer is the level of a band, so that the rows show the watch itself: the pipe, resampling, windows, alarms, the
spool. BENCH_BUNDLE=fan.bundle adds a row for a bundle, over fewer hours. The receiver is away for the first half of the
day, and every window is an event for it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks._band_scorer import noise
from benchmarks._timing import Row

RATE, SCORER_RATE, WINDOW, HOURS, BUNDLE_HOURS = 48_000, 16_000, 10.0, 24, 2
HOUR = 3600
PIECES = 60  # per hour, after each of which memory is measured


def run() -> Iterator[Row]:
    yield _day("a day at 48 kHz, no receiver", HOURS)
    yield _with_a_receiver()
    if bundle := os.environ.get("BENCH_BUNDLE"):
        yield _day(f"{BUNDLE_HOURS} hours at 48 kHz, {Path(bundle).name}", BUNDLE_HOURS, bundle=bundle)


class _Child:
    """A watch in a process of its own, which is fed noise as fast as it takes it."""

    def __init__(self, **options: Any) -> None:
        options = {"rate": RATE, "scorer_rate": SCORER_RATE, "window": WINDOW, **options}
        words = [sys.executable, "-m", "benchmarks._band_watch", "-", json.dumps(options)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.memory: list[float] = []  # MiB, after each piece
        self.last = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def feed(self, hours: float) -> None:
        assert self.process.stdin is not None
        piece = noise(HOUR / PIECES, rate=RATE).tobytes()
        for _ in range(round(hours * PIECES)):
            self.process.stdin.write(piece)
            self.memory.append(_resident(self.process.pid))

    def end(self) -> tuple[dict[str, Any], float]:
        """The last event, and the seconds of processor time of the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._reader.join()
        _, status, usage = os.wait4(self.process.pid, 0)
        if status:
            raise RuntimeError(f"the watch ended with {status}")
        stopped: dict[str, Any] = json.loads(self.last)
        return stopped, usage.ru_utime + usage.ru_stime

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.last = line


def _resident(pid: int) -> float:
    """MiB of memory that a process uses."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def _day(what: str, hours: int, **options: Any) -> Row:
    child = _Child(**options)
    child.feed(hours)
    stopped, seconds = child.end()
    sound = hours * HOUR
    detail = f"{100 * seconds / sound:.2f} % of one core, {stopped['windows']:,} windows of {WINDOW:g} s; memory "
    return f"watch: {what}", "real time on one core", sound / seconds, detail + _growth(child.memory)


def _growth(memory: list[float]) -> str:
    first = max(memory[: max(1, len(memory) // 10)])
    return f"{first:.0f} MiB in the first tenth, at most {max(memory):.0f} MiB after it"


def _with_a_receiver() -> Row:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        receiver = _Receiver()
        child = _Child(windows=True, webhook=receiver.url, spool=folder)
        child.feed(HOURS / 2)
        stack.callback(receiver.stop)
        receiver.start()
        child.feed(HOURS / 2)
        stopped, seconds = child.end()
        while receiver.waiting(folder):  # the next watch sends what is left
            _Child(webhook=receiver.url, spool=folder).end()
    windows = [offset for kind, offset in receiver.got if kind == "window"]
    order = "in order" if windows == sorted(windows) else "out of order"
    detail = (
        f"{100 * seconds / (HOURS * HOUR):.2f} % of one core; {len(set(windows)):,} of {stopped['windows']:,} windows "
        f"arrived, {order}, {len(windows) - len(set(windows))} twice; memory {_growth(child.memory)}"
    )
    return (
        "watch: the same, every window to a webhook that is away for 12 h",
        "real time",
        HOURS * HOUR / seconds,
        detail,
    )


class _Receiver:
    """An HTTP server whose port is known before it listens."""

    def __init__(self) -> None:
        self.got: list[tuple[str, float]] = []
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got.append((event["event"], event.get("offset", 0.0)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *what: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.server_bind()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def start(self) -> None:
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def waiting(folder: str) -> int:
        """Events that are still on disk."""
        return len(list(Path(folder).rglob("*.json")))
