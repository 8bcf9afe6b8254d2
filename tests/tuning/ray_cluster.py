"""A Ray cluster of several nodes on this computer, each of which a test may kill and start again."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .searches import kill_tree, tree

HERE = Path(__file__).parent
NODE = "ASD_RAY_TEST_NODE"  # in the environment of a node: its name
AHEAD = """
import time, os
_own = time.time
time.time = lambda: _own() + float(os.environ["ASD_RAY_TEST_AHEAD"])
_own_ns = time.time_ns
time.time_ns = lambda: _own_ns() + int(float(os.environ["ASD_RAY_TEST_AHEAD"]) * 1e9)
"""
SOON = {  # Ray notices a dead node within seconds
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def own_disk(host: str, path: Path, size: str) -> list[str]:
    """The start of a command line whose process alone sees an empty disk at this path and another host name.

    [] where this is not permitted.
    """
    for flags in (["--mount", "--uts"], ["--mount", "--uts", "--map-root-user"]):
        start = ["unshare", *flags, "sh", "-ec"]
        script = f"hostname {host}; mount -t tmpfs -o size={size} none {shlex.quote(str(path))}"
        with contextlib.suppress(OSError):
            if subprocess.run([*start, script], capture_output=True).returncode == 0:
                return [*start, f'{script}; exec "$@"', host]
    return []


@dataclass
class RayNode:
    """One `ray start --block`: a raylet and the processes that it starts."""

    name: str
    process: subprocess.Popen[bytes]

    def family(self) -> list[psutil.Process]:
        return tree(self.process.pid)

    def raylet(self) -> psutil.Process:
        return next(process for process in self.family() if process.name() == "raylet")

    def kill(self) -> None:
        """Kill all of it at once, as when a computer loses its power."""
        killed = kill_tree(self.process.pid)
        self.process.wait()
        psutil.wait_procs(killed, timeout=10)


@dataclass
class RayCluster:
    """Several nodes and what they share. `close` ends all of their processes, by id."""

    folder: Path
    cpus: int = 1  # of each node
    more: dict[str, str] = field(default_factory=dict)  # for the environment of all nodes and drivers
    head_options: list[str] = field(default_factory=list)
    nodes: dict[str, RayNode] = field(default_factory=dict)
    address: str = ""
    client_port: int = 0
    _temp: str = ""  # short, because the paths of Ray's sockets must be short
    _old: list[str] = field(default_factory=list)

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    def forget_notes(self) -> None:
        shutil.rmtree(self.notes, ignore_errors=True)
        self.notes.mkdir(parents=True)

    def fits(self) -> Counter[str]:
        """How often each `x` was fitted."""
        return Counter(path.read_text().split()[-1] for path in self.notes.glob("*.txt"))

    def places(self) -> Counter[str]:
        """How many fits each node began."""
        return Counter(path.stem.split("-")[-1] for path in self.notes.glob("*.txt"))

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **SOON,
            "PYTHONPATH": str(HERE),
            "ASD_RAY_TEST_NOTES": str(self.notes),
            "RAY_AUTH_MODE": "token",
            "RAY_TMPDIR": self._temp,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.more,
        }

    def start(self) -> None:
        """Start the node "head", which runs trials like any other. Started again, it has the same address."""
        port = int(self.address.partition(":")[2] or free_port())
        self.client_port = free_port()
        self._temp = tempfile.mkdtemp(prefix="ray_")
        self._old.append(self._temp)
        self.address = f"127.0.0.1:{port}"
        ports = [f"--port={port}", f"--ray-client-server-port={self.client_port}"]
        self._start(
            "head", ["--head", *ports, *self.head_options], {"GRPC_ENABLE_FORK_SUPPORT": "0"}, ()
        )  # as cluster.yaml

    def add(self, name: str, *, ahead: float = 0.0, first: Sequence[str] = (), **environment: str) -> None:
        """One more node. `ahead`: seconds of its clock. `first`: the command that starts the node's own."""
        if ahead:
            place = self.folder / "ahead"
            place.mkdir(exist_ok=True)
            (place / "sitecustomize.py").write_text(AHEAD)
            environment |= {"ASD_RAY_TEST_AHEAD": str(ahead), "PYTHONPATH": f"{place}:{HERE}"}
        self._start(name, [f"--address={self.address}"], environment, first)

    def _start(self, name: str, options: list[str], environment: dict[str, str], first: Sequence[str]) -> None:
        assert name not in self.nodes
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1"]
        ray += [f"--num-cpus={self.cpus}", f"--temp-dir={self._temp}", "--object-store-memory=80000000"]
        ray += ["--disable-usage-stats", "--dashboard-agent-listen-port=0"]
        ray += ["--include-dashboard=false"] if "--head" in options else []
        own = {NODE: name, "ASD_RAY_CACHE": str(self.folder / f"cache-{name}"), **environment}
        log = self.folder / f"{name}-{len(list(self.folder.glob('*.log')))}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*first, *ray, *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**self.environment, "PYTHONUNBUFFERED": "1", **own},
                start_new_session=True,
            )
        self.nodes[name] = RayNode(name, process)
        limit = time.monotonic() + 90
        while b"Ray runtime started" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.1)

    def have(self, *names: str) -> None:
        """Make these nodes run, and no others. A cluster whose head is gone is started again."""
        dead = {name for name, node in self.nodes.items() if node.process.poll() is not None}
        if "head" in dead or "head" not in self.nodes:
            self.kill_all()
            self.start()
        self.kill(*((self.nodes.keys() - set(names)) | (dead & self.nodes.keys())))
        for name in names:
            if name not in self.nodes:
                self.add(name)

    def kill(self, *names: str) -> None:
        """Kill these nodes with kill -9."""
        for name in names:
            self.nodes.pop(name).kill()

    def kill_all(self) -> None:
        self.kill(*self.nodes)

    def close(self) -> None:
        self.kill_all()
        for folder in self._old:
            shutil.rmtree(folder, ignore_errors=True)
