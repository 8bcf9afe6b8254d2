"""A server as a user starts it, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

READY = "Ctrl-C stops the server"
PATIENCE = 120.0  # seconds for a server to start or to end


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: Any  # JSON; text of what is none


@dataclass(frozen=True)
class Client:
    port: int
    token: str | None = None

    def send(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> Reply:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, {**authorization, **headers})
            answer = connection.getresponse()
            text = answer.read().decode()
        with contextlib.suppress(ValueError):
            return Reply(answer.status, dict(answer.getheaders()), json.loads(text))
        return Reply(answer.status, dict(answer.getheaders()), text)

    def post(self, path: str, body: bytes | Iterable[bytes] | Path, headers: Mapping[str, str] = {}) -> Reply:
        return self.send("POST", path, body.read_bytes() if isinstance(body, Path) else body, headers)

    def get(self, path: str) -> Reply:
        return self.send("GET", path)


@dataclass(frozen=True)
class Server:
    """A running server; `processes` are all that it started."""

    client: Client
    program: subprocess.Popen[str]
    session: str  # of its Ray, which is in the command line of each process
    log: Path

    @property
    def processes(self) -> list[psutil.Process]:
        found = [psutil.Process(self.program.pid), *psutil.Process(self.program.pid).children(recursive=True)]
        for other in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if other not in found and any(self.session in word for word in other.cmdline()):
                    found.append(other)
        return found

    @property
    def ray_address(self) -> str:
        words = [word for process in self.processes for word in process.cmdline()]
        return next(word.partition("=")[2] for word in words if word.startswith("--gcs-address="))

    def end(self, number: signal.Signals, *, group: bool = False) -> tuple[int, list[psutil.Process]]:
        """Send a signal, as a terminal does with `group`. Returns the exit status, and processes that still run."""
        started = self.processes
        os.killpg(self.program.pid, number) if group else self.program.send_signal(number)
        status = self.program.wait(PATIENCE)
        return status, psutil.wait_procs(started, timeout=PATIENCE)[1]


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def started(
    words: Iterable[object],
    log: Path,
    *,
    port: int,
    token: str | None = None,
    ready: str = READY,
    environment: Mapping[str, str] = {},
) -> Iterator[Server]:
    """Run a command of Python that serves at `port`, until it answers and has printed `ready`.

    What still runs at the end is killed.
    """
    with log.open("w") as output:
        program = subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
    server = None
    try:
        client = Client(port, token)
        _wait_until_it_answers(client, program, log, ready)
        commands = [" ".join(each.cmdline()) for each in psutil.Process(program.pid).children(recursive=True)]
        session = next(part for line in commands for part in line.split("/") if part.startswith("session_2"))
        server = Server(client, program, session, log)
        yield server
    finally:
        left = [] if server is None or program.poll() is not None else server.processes
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _wait_until_it_answers(client: Client, program: subprocess.Popen[str], log: Path, ready: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and program.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready in log.read_text() and client.get("/health").content == {"status": "ok"}:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
