"""Searches on a cluster of several nodes, of which something breaks: no finished trial is lost or run again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import psutil
import pytest
import soundfile
from moto.server import ThreadedMotoServer

from asd_ray.ledger import Ledger, verify

from .ray_cluster import RayCluster, own_disk

pytestmark = pytest.mark.slow
Start = Callable[..., subprocess.Popen[str]]
SOONER = """
    import sys
    import asd_ray.search
    from asd_ray.tuning import lifeline, watchdog
    asd_ray.search.PATIENCE, lifeline.LOST, watchdog.GRACE = 3.0, 5.0, 2.0
    sys.exit(asd_ray.search.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DCASE 2022 shaped set in which anomalies are a little louder."""
    root = tmp_path_factory.mktemp("data") / "loud"
    draw = np.random.default_rng(0)
    for split, label, count, gain in (("train", "normal", 8, 1), ("test", "normal", 6, 1), ("test", "anomaly", 6, 1.1)):
        for domain in ("source", "target"):
            for i in range(count):
                path = root / "fan" / split / f"section_00_{domain}_{split}_{label}_{i:04d}_vel_{i}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, draw.normal(0, 0.1, 8000) * gain * draw.uniform(0.9, 1.1), 16_000)
    return root


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    cluster = RayCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(shared: RayCluster) -> RayCluster:
    """Its nodes are what the test says with `have`; one CPU each, so one trial each."""
    shared.forget_notes()
    return shared


@pytest.fixture
def start(cluster: RayCluster, tmp_path: Path, data: Path) -> Iterator[Start]:
    """Start `asd-ray search fan` on the cluster, in a session of its own; what is left of it at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        families: str, *more: str, address: str = "", code: str = "", **environment: str
    ) -> subprocess.Popen[str]:
        names = ",".join(f"ray_families:{name}" for name in families.split())
        program = ["-c", textwrap.dedent(code)] if code else ["-m", "asd_ray.search"]
        command = [sys.executable, *program, "fan", "--data", data, "--run", tmp_path / "run", "--families", names]
        process = subprocess.Popen(
            [*map(str, command), "--address", address or cluster.address, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**cluster.environment, "ASD_RAY_CACHE": str(cluster.folder / "cache-driver"), **environment},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                each.kill()
        process.wait()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run")


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    said = process.communicate(timeout=150)[0]
    assert process.returncode == status, said
    return said


def wait(what: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 90) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it did not happen"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def statuses(ledger: Ledger) -> Counter[tuple[str, str]]:
    return Counter((record.family, record.status) for record in ledger.records())


def kept(ledger: Ledger) -> dict[str, object]:
    return {record.trial: record for record in ledger.records()}


def check_nothing_lost(ledger: Ledger, cluster: RayCluster, before: dict[str, object], wanted: int) -> None:
    """What was stored `before` something broke is as it was and was not fitted again; the rest is there as well."""
    records = ledger.records()
    assert Counter(record.status for record in records) == {"complete": wanted}
    assert sorted(record.number for record in records) == list(range(wanted))
    assert before.items() <= kept(ledger).items()
    fits = cluster.fits()
    assert all(fits[f"{record.params['x']}"] == 1 for record in records if record.trial in before)
    assert verify(ledger).is_clean


def test_a_search_goes_on_when_a_node_is_lost_and_uses_one_that_comes(
    start: Start, cluster: RayCluster, ledger: Ledger
) -> None:
    cluster.have("head", "b")
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "16")
    wait(lambda: cluster.places() == {"head": 1, "b": 1}, process)
    (cluster.notes / "hold").unlink()
    wait(lambda: len(ledger.records()) >= 3, process)
    (cluster.notes / "hold").touch()
    wait(lambda: sum(cluster.places().values()) == len(ledger.records()) + 2, process)
    before = kept(ledger)
    cluster.nodes["b"].raylet().kill()
    cluster.kill("b")
    cluster.add("spot")
    wait(lambda: cluster.places()["spot"] == 1, process)
    (cluster.notes / "hold").unlink()
    said = finish(process)
    check_nothing_lost(ledger, cluster, before, 16)
    assert sum(cluster.fits().values()) == 17, "only the trial of the lost node ran once more"
    assert "16 trials run now" in said


@pytest.mark.parametrize("head", ["lost with the driver", "lost", "started again"])
def test_after_the_whole_cluster_is_killed_the_same_command_goes_on(
    start: Start, cluster: RayCluster, ledger: Ledger, head: str
) -> None:
    cluster.have("head")
    first = start("Held", "--trials", "6", code=SOONER if head == "lost" else "")
    wait(lambda: len(ledger.records()) >= 2, first)
    (cluster.notes / "hold").touch()
    wait(lambda: sum(cluster.places().values()) == len(ledger.records()) + 1, first)
    before = kept(ledger)
    if head == "lost with the driver":
        os.kill(first.pid, signal.SIGKILL)
    cluster.kill_all()
    if head == "started again":
        cluster.have("head")
    if head == "lost with the driver":
        first.wait()
    else:
        said = first.communicate(timeout=90)[0]
        assert first.returncode == 2 if head == "lost" else first.returncode > 0
        assert "every stored trial is kept; once the cluster is up again, run the same command" in said
    (cluster.notes / "hold").unlink()
    cluster.have("head")
    said = finish(start("Held", "--trials", "6"))
    assert f"{len(before)} trials are stored already" in said
    check_nothing_lost(ledger, cluster, before, 6)


def test_a_trial_that_hangs_fails_by_name_and_the_others_go_on(
    start: Start, cluster: RayCluster, ledger: Ledger
) -> None:
    cluster.have("head", "b")
    said = finish(start("Hangs HangsInC", "--trials", "4", "--trial-time", "3s", code=SOONER))
    assert statuses(ledger) == {
        ("hangs", "complete"): 3,
        ("hangs", "failed"): 1,
        ("hangs_in_c", "complete"): 3,
        ("hangs_in_c", "failed"): 1,
    }
    errors = {record.family: record.error for record in ledger.records() if record.status == "failed"}
    assert "it ran longer than --trial-time 3 s on" in errors["hangs"]
    assert "it ran longer than --trial-time 3 s on" in errors["hangs_in_c"]
    assert "failed: fan-hangs-0000: it ran longer" in said
    assert verify(ledger).is_clean
    for verb in (["ensemble", "fan", "--recipe", "best_per_family"], ["report"]):
        subprocess.run([sys.executable, "-m", "asd_ray", *verb, "--run", ledger.layout.root], check=True)
    page = Path(ledger.layout.root, "report", "report.html").read_text()
    assert errors["hangs"] in page
    assert errors["hangs_in_c"] in page


def test_nodes_that_lack_something_are_named_and_their_trials_end_elsewhere(
    start: Start, cluster: RayCluster, ledger: Ledger, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    lacks = {"no-run": (tmp_path / "run", "1m"), "no-data": (data, "1m"), "full": (tmp_path / "full", "100k")}
    (tmp_path / "full").mkdir()
    cluster.have("head")
    for name, (path, size) in lacks.items():
        first = own_disk(name, path, size)
        if not first:
            pytest.skip("no mounts of its own are permitted here (unshare --mount), so no node can lack a folder")
        cluster.add(name, first=first, ASD_RAY_CACHE=str(path if name == "full" else cluster.folder / f"cache-{name}"))
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "8", code=SOONER)
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if all(f"{name} cannot run it" in said for name in lacks):
            (cluster.notes / "hold").unlink(missing_ok=True)
    assert process.wait() == 0, said
    check_nothing_lost(ledger, cluster, {}, 8)
    assert cluster.places() == {"head": 8}
    assert f"warning: no-run: {tmp_path / 'run'}: not the folder that the search was started with" in said
    assert "no-data cannot run it" in said
    assert "disk full while writing the bank" in said.split("full cannot run it", 1)[1]


class Line:
    """A line to a server on this computer, which can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._to, self._cut = port, False
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut = True
        for each in self._open:
            self._reset(each)
        self._open.clear()

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    @staticmethod
    def _reset(one: socket.socket) -> None:
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.shutdown(socket.SHUT_RDWR)
        one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self._cut:
                    self.refused += 1
                    self._reset(near)
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while taken := source.recv(1 << 16):
                target.sendall(taken)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def s3() -> Iterator[tuple[int, Line]]:
    """The port of an S3 server that has a bucket, and a line to it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys).create_bucket(Bucket="asd-ray-test")
    line = Line(port)
    yield port, line
    line.close()
    server.stop()


def test_trials_outlast_thirty_seconds_without_s3(
    start: Start, cluster: RayCluster, s3: tuple[int, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.setenv(name, cluster.environment[name])
    port, line = s3
    run = "s3://asd-ray-test/runs/outage?endpoint_override=http://127.0.0.1:"
    ledger = Ledger(f"{run}{port}")
    cluster.have("head", "b")
    process = start("Held", "--trials", "10", "--run", f"{run}{line.port}")
    wait(lambda: len(ledger.records()) >= 3, process)
    before = kept(ledger)
    line.cut()
    time.sleep(30)
    line.mend()
    said = finish(process)
    assert line.refused > 2
    assert "10 trials run now, 10 in all" in said
    check_nothing_lost(ledger, cluster, before, 10)
    assert set(cluster.fits().values()) == {1}


def test_a_node_whose_clock_is_a_day_ahead_does_no_harm(start: Start, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    cluster.add("ahead", ahead=86_400)
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "6")
    wait(lambda: cluster.places() == {"head": 1, "ahead": 1}, process)
    (cluster.notes / "hold").unlink()
    finish(process)
    began = sorted(int(path.name.split("-")[0]) for path in cluster.notes.glob("*-ahead.txt"))
    assert began[0] / 1e9 > time.time() + 80_000
    before = kept(ledger)
    check_nothing_lost(ledger, cluster, before, 6)
    said = finish(start("Held", "--trials", "9"))
    assert "3 trials run now, 9 in all" in said
    check_nothing_lost(ledger, cluster, before, 9)
    assert set(cluster.fits().values()) == {1}


def test_a_search_is_sent_to_a_cluster_and_followed(start: Start, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    process = start("Held", "--trials", "4", address=f"ray://127.0.0.1:{cluster.client_port}")
    said = finish(process)
    assert "4 trials run now, 4 in all" in said
    assert cluster.places() == {"head": 4}
    check_nothing_lost(ledger, cluster, kept(ledger), 4)
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "9", address=f"ray://127.0.0.1:{cluster.client_port}")
    wait(lambda: sum(cluster.places().values()) == 5, process)
    os.killpg(process.pid, signal.SIGINT)
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if "stopping: 1 running trial" in line:
            (cluster.notes / "hold").unlink()
    assert process.wait() == 130, said
    assert "Ctrl-C again to stop now" in said
    assert "4 trials are missing; run the same command to go on" in said
    check_nothing_lost(ledger, cluster, kept(ledger), 5)


def test_a_plain_search_never_joins_the_ray_that_runs_here(start: Start, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    said = finish(start("Held", "--trials", "2", "--cpus", "1", address="local", RAY_ADDRESS=cluster.address))
    assert "2 trials run now, 2 in all" in said
    assert cluster.places() == {"own": 2}
    check_nothing_lost(ledger, cluster, kept(ledger), 2)
