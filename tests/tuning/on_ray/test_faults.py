"""Searches on a cluster of several nodes where something breaks: no finished trial is lost or run again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from asd_ray.__main__ import main as asd_ray
from asd_ray.ledger import Ledger, verify

from ...s3_server import S3Server
from ..ray_cluster import RayCluster, own_disk
from ..searches import Begin, finish, processes, statuses, wait

pytestmark = pytest.mark.slow
SOONER = """
    import sys
    import asd_ray.search
    from asd_ray.tuning import session
    from asd_ray.tuning.on_ray import head_monitor, time_limit
    session.PATIENCE, head_monitor.LOST, time_limit.GRACE = 3.0, 5.0, 2.0
    sys.exit(asd_ray.search.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    cluster = RayCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(shared: RayCluster) -> RayCluster:
    """The test chooses its nodes with `have`. Each has one CPU, so it runs one trial."""
    shared.forget_notes()
    return shared


@pytest.fixture
def start(cluster: RayCluster, tmp_path: Path, loud: Path) -> Iterator[Begin]:
    """Start `asd-ray search fan` on the cluster, in its own session. What is still running at the end is killed."""
    with processes() as begin:

        def search(
            families: str, *more: str, address: str = "", code: str = "", **environment: str
        ) -> subprocess.Popen[str]:
            names = ",".join(f"ray_families:{name}" for name in families.split())
            program = ["-c", textwrap.dedent(code)] if code else ["-m", "asd_ray.search"]
            options = ["fan", "--data", loud, "--run", tmp_path / "run", "--families", names]
            cache = {"ASD_RAY_CACHE": str(cluster.folder / "cache-driver")}
            return begin(
                [*program, *options, "--address", address or cluster.address, *more],
                {**cluster.environment, **cache, **environment},
            )

        yield search


def stored(ledger: Ledger) -> dict[str, object]:
    return {record.trial: record for record in ledger.records()}


def check_nothing_lost(
    ledger: Ledger, cluster: RayCluster, before: dict[str, object], wanted: int, fitted: dict[str, int] | None = None
) -> None:
    """Trials stored `before` something broke are unchanged and were not fitted again; all the others are stored too.

    `fitted`: how often these trials were fitted until they were stored; without it, once.
    """
    records = ledger.records()
    assert Counter(record.status for record in records) == {"complete": wanted}
    assert sorted(record.number for record in records) == list(range(wanted))
    assert before.items() <= stored(ledger).items()
    fits = {record.trial: cluster.fits()[f"{record.params['x']}"] for record in records if record.trial in before}
    assert fits == (dict.fromkeys(before, 1) if fitted is None else fitted)
    assert verify(ledger).is_clean


def test_a_search_survives_a_lost_node_and_uses_a_new_one(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head", "b")
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "16")
    wait(lambda: cluster.places() == {"head": 1, "b": 1}, process)
    (cluster.notes / "hold").unlink()
    wait(lambda: len(ledger.records()) >= 3, process)
    (cluster.notes / "hold").touch()
    wait(lambda: sum(cluster.places().values()) == len(ledger.records()) + 2, process)
    before = stored(ledger)
    cluster.nodes["b"].raylet().kill()
    cluster.kill("b")
    cluster.add("spot")
    wait(lambda: cluster.places()["spot"] == 1, process)
    (cluster.notes / "hold").unlink()
    output = finish(process)
    check_nothing_lost(ledger, cluster, before, 16)
    assert sum(cluster.fits().values()) == 17, "only the trial of the lost node ran once more"
    assert "16 trials run now" in output


@pytest.mark.timeout(600)
def test_after_the_whole_cluster_is_killed_the_same_command_resumes(
    start: Begin, cluster: RayCluster, ledger: Ledger
) -> None:
    """Three searches lose their cluster, each in its own way; each goes on with what the one before has stored."""
    hold = cluster.notes / "hold"
    cluster.have("head")
    before: dict[str, object] = {}
    fitted: dict[str, int] = {}  # trial -> how often it was fitted until it was stored
    for head in ("lost", "started again", "lost with the driver"):
        enough = len(ledger.records()) + 2
        at_work = sum(cluster.places().values()) + 1 - len(ledger.records())  # and those that ended with a cluster
        process = start("Held", "--trials", "8", code=SOONER if head == "lost" else "")
        wait(lambda enough=enough: len(ledger.records()) >= enough, process)
        hold.touch()
        wait(lambda more=at_work: sum(cluster.places().values()) == len(ledger.records()) + more, process)
        before = stored(ledger)
        now = {record.trial: cluster.fits()[f"{record.params['x']}"] for record in ledger.records()}
        fitted = now | fitted
        if head == "lost with the driver":
            os.kill(process.pid, signal.SIGKILL)
        cluster.kill_all()
        if head == "started again":
            cluster.have("head")
        if head == "lost with the driver":
            process.wait()
        else:
            output = process.communicate(timeout=90)[0]
            assert process.returncode == 2 if head == "lost" else process.returncode > 0
            assert "every stored trial is kept; once the cluster is up again, run the same command" in output
        hold.unlink()
        cluster.have("head")
    kept = len(ledger.records())
    output = finish(start("Held", "--trials", "8"))
    assert f"{kept} trials are stored already" in output
    check_nothing_lost(ledger, cluster, before, 8, fitted)


def test_a_trial_that_hangs_is_stored_as_failed_and_the_others_go_on(
    start: Begin, cluster: RayCluster, ledger: Ledger
) -> None:
    cluster.have("head", "b")
    output = finish(start("Hangs HangsInC", "--trials", "4", "--trial-time", "3s", code=SOONER))
    assert statuses(ledger.records()) == {
        ("hangs", "complete"): 3,
        ("hangs", "failed"): 1,
        ("hangs_in_c", "complete"): 3,
        ("hangs_in_c", "failed"): 1,
    }
    errors = {record.family: record.error for record in ledger.records() if record.status == "failed"}
    assert "it ran longer than --trial-time 3 s on" in errors["hangs"]
    assert "it ran longer than --trial-time 3 s on" in errors["hangs_in_c"]
    assert re.search(r"failed: (fan-hangs-0000|2 trials, fan-hangs_?\w*-0000 the first): it ran longer", output)
    assert verify(ledger).is_clean
    for verb in (["ensemble", "fan", "--recipe", "best_per_family"], ["report"]):
        assert asd_ray([*verb, "--run", str(ledger.layout.root)]) == 0
    page = Path(ledger.layout.root, "report", "report.html").read_text()
    assert errors["hangs"] in page
    assert errors["hangs_in_c"] in page


def test_nodes_that_lack_something_are_named_and_other_nodes_run_their_trials(
    start: Begin, cluster: RayCluster, ledger: Ledger, loud: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    lacks = {"no-run": (tmp_path / "run", "1m"), "no-data": (loud, "1m"), "full": (tmp_path / "full", "100k")}
    (tmp_path / "full").mkdir()
    cluster.have("head")
    for name, (path, size) in lacks.items():
        first = own_disk(name, path, size)
        if not first:
            pytest.skip("no mounts of its own are permitted here (unshare --mount), so no node can lack a folder")
        cluster.add(name, first=first, ASD_RAY_CACHE=str(path if name == "full" else cluster.folder / f"cache-{name}"))
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "8", code=SOONER)
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if all(f"{name} cannot run it" in output for name in lacks):
            (cluster.notes / "hold").unlink(missing_ok=True)
    assert process.wait() == 0, output
    check_nothing_lost(ledger, cluster, {}, 8)
    assert cluster.places() == {"head": 8}
    assert f"warning: no-run: {tmp_path / 'run'}: not the folder that the search was started with" in output
    assert "no-data cannot run it" in output
    assert "disk full while writing the bank" in output.split("full cannot run it", 1)[1]


class Proxy:
    """A connection to a server on this computer that can be cut and restored."""

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

    def restore(self) -> None:
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
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 16):
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    connection = Proxy(s3_server.port)
    yield connection
    connection.close()


def test_trials_survive_thirty_seconds_without_s3(
    start: Begin, cluster: RayCluster, s3_server: S3Server, aws: None, proxy: Proxy
) -> None:
    client = boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="asd-ray-test")
    run = "s3://asd-ray-test/runs/outage?endpoint_override=http://127.0.0.1:"
    ledger = Ledger(f"{run}{s3_server.port}")
    cluster.have("head", "b")
    process = start("Held", "--trials", "10", "--run", f"{run}{proxy.port}")
    wait(lambda: len(ledger.records()) >= 3, process)
    before = stored(ledger)
    proxy.cut()
    time.sleep(30)
    proxy.restore()
    output = finish(process)
    assert proxy.refused > 2
    assert "10 trials run now, 10 in all" in output
    check_nothing_lost(ledger, cluster, before, 10)
    assert set(cluster.fits().values()) == {1}


def test_a_node_whose_clock_is_a_day_ahead_works(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    cluster.add("ahead", ahead=86_400)
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "6")
    wait(lambda: cluster.places() == {"head": 1, "ahead": 1}, process)
    (cluster.notes / "hold").unlink()
    finish(process)
    began = sorted(int(path.name.split("-")[0]) for path in cluster.notes.glob("*-ahead.txt"))
    assert began[0] / 1e9 > time.time() + 80_000
    before = stored(ledger)
    check_nothing_lost(ledger, cluster, before, 6)
    output = finish(start("Held", "--trials", "9"))
    assert "3 trials run now, 9 in all" in output
    check_nothing_lost(ledger, cluster, before, 9)
    assert set(cluster.fits().values()) == {1}


def test_a_search_runs_on_a_cluster_and_its_output_is_shown(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    process = start("Held", "--trials", "4", address=f"ray://127.0.0.1:{cluster.client_port}")
    output = finish(process)
    assert "4 trials run now, 4 in all" in output
    assert cluster.places() == {"head": 4}
    check_nothing_lost(ledger, cluster, stored(ledger), 4)
    (cluster.notes / "hold").touch()
    process = start("Held", "--trials", "9", address=f"ray://127.0.0.1:{cluster.client_port}")
    wait(lambda: sum(cluster.places().values()) == 5, process)
    os.killpg(process.pid, signal.SIGINT)
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if "stopping: 1 running trial" in line:
            (cluster.notes / "hold").unlink()
    assert process.wait() == 130, output
    assert "Ctrl-C again to stop now" in output
    assert "4 trials are missing; run the same command to go on" in output
    check_nothing_lost(ledger, cluster, stored(ledger), 5)


def test_a_plain_search_never_joins_the_ray_that_runs_here(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    output = finish(start("Held", "--trials", "2", "--cpus", "1", address="local", RAY_ADDRESS=cluster.address))
    assert "2 trials run now, 2 in all" in output
    assert cluster.places() == {"own": 2}
    check_nothing_lost(ledger, cluster, stored(ledger), 2)
