"""``asd-ray serve`` as a user types it: what it refuses before it listens, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.serve.client import free_port, started
from tests.hostile import Verbs

from ..deploy.conftest import SmallRun, small

__all__ = ["small"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{nowhere}"], "nowhere is not there; write one with: asd-ray bundle MACHINE --run RUN"),
        (["{bundle}", "fan={bundle}"], "are both named fan; name them, such as fan1="),
        (["a b={bundle}"], "the bundle name 'a b' must be 1 to 128 of the characters"),
        (["{bundle}", "--port", "70000"], "must be a whole number from 1 to 65535 but got '70000'"),
        (["{bundle}", "--port", "{taken}"], "cannot listen there (Address already in use); name another --port"),
        (["{bundle}", "--host", "203.0.113.9"], "cannot listen there"),
        (["{bundle}", "--max-megabytes", "0"], "max_megabytes must be a number above 0 to 2000 but is 0"),
        (["{bundle}", "--max-minutes", "nan"], "max_minutes must be a number above 0"),
        (["{bundle}", "--replicas", "0"], "must be a whole number from 1 but got '0'"),
        (["{bundle}", "--false-alarms", "2"], "must be a share between 0 and 1"),
        (["{bundle}", "--address", "127.0.0.1:{free}"], "no Ray could be joined (nothing answers at"),
    ],
)
def test_what_cannot_be_served_is_one_message(
    words: list[str], message: str, small: SmallRun, tmp_path: Path, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # so that the command changes nothing here
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        places = {"nowhere": tmp_path / "nowhere", "bundle": small.folder, "taken": taken.getsockname()[1]}
        arguments = [word.format(**places, free=free_port()) for word in words]
        verbs.refused("serve", *arguments, words=(message,))


def test_without_ray_serve_the_message_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['ray.serve'] = None; from asd_ray.__main__ import main; "
        "sys.exit(main(['serve', 'fan.bundle']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "asd-ray serve: serving needs Ray Serve, which is not installed" in done.stderr
    assert 'run: pip install "asd_ray[serve]"' in done.stderr


def test_replicas_that_do_not_fit_are_refused_instead_of_waited_for(small: SmallRun) -> None:
    words = ["serve", small.folder, "--port", free_port(), "--replicas", 1000]
    done = subprocess.run([sys.executable, "-m", "asd_ray", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "1000 replicas with 1 CPU each do not fit where Ray has" in done.stderr
    assert "ask for less with --replicas or --cpus-per-replica" in done.stderr


def test_sigterm_ends_the_server_and_every_process(small: SmallRun, tmp_path: Path) -> None:
    port = free_port()  # one bundle needs no name, and a server on loopback no token
    with started(["asd_ray", "serve", small.folder, "--port", port], tmp_path / "log", port=port) as server:
        assert server.client.post("/score?id=00", small.clips[0]).status == 200
        assert server.end(signal.SIGTERM) == (0, [])
        assert server.log.read_text().splitlines()[-1] == "stopped"
