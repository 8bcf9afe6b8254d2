"""A real HTTP server that can be dead, slow or broken, and that keeps what it confirmed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HttpReceiver:
    port: int = 0  # 0: any that is free
    status: int = 200
    held: threading.Event | None = None  # no answer before it is set
    location: str = ""
    confirmed: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    attempts: int = 0
    methods: set[str] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve while the block runs, on the same port every time; the URL."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.attempts += 1
                receiver.methods.add(self.command)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if receiver.held:
                    receiver.held.wait(60)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                if 200 <= receiver.status < 300:  # kept before the answer leaves: the next event has another thread
                    receiver.headers.append(dict(self.headers))
                    receiver.confirmed.append(json.loads(body))
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *what: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.port}/alarms?key=secret"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def eventually(condition: Any, seconds: float = 60.0) -> None:
    """Wait until `condition()` holds; fail after `seconds`."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)
