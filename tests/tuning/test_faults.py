"""Searches on a cluster of several nodes, of which something breaks: no finished trial is lost or run again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from asd_ray.ledger import Ledger, verify

from ..s3_server import S3Server
from .ray_cluster import RayCluster, own_disk
from .searches import Begin, finish, processes, statuses, wait

pytestmark = pytest.mark.slow
SOONER = """
    import sys
    from asd_ray.search import main
    from asd_ray.tuning import session
    from asd_ray.tuning.on_ray import head_monitor as lifeline
    from asd_ray.tuning.on_ray import time_limit as watchdog
    session.PATIENCE, lifeline.LOST, watchdog.GRACE = 3.0, 5.0, 2.0
    sys.exit(main(sys.argv[1:]))
"""


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
def start(cluster: RayCluster, tmp_path: Path, loud: Path) -> Iterator[Begin]:
    """Start `asd-ray search fan` on the cluster, in a session of its own; what is left of it at the end is killed."""
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
    start: Begin, cluster: RayCluster, ledger: Ledger
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
    start: Begin, cluster: RayCluster, ledger: Ledger, head: str
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
    start: Begin, cluster: RayCluster, ledger: Ledger
) -> None:
    cluster.have("head", "b")
    said = finish(start("Hangs HangsInC", "--trials", "4", "--trial-time", "3s", code=SOONER))
    assert statuses(ledger.records()) == {
        ("hangs", "complete"): 3,
        ("hangs", "failed"): 1,
        ("hangs_in_c", "complete"): 3,
        ("hangs_in_c", "failed"): 1,
    }
    errors = {record.family: record.error for record in ledger.records() if record.status == "failed"}
    assert "it ran longer than --trial-time 3 s on" in errors["hangs"]
    assert "it ran longer than --trial-time 3 s on" in errors["hangs_in_c"]
    assert re.search(r"failed: (fan-hangs-0000|2 trials, fan-hangs_?\w*-0000 the first): it ran longer", said)
    assert verify(ledger).is_clean
    for verb in (["ensemble", "fan", "--recipe", "best_per_family"], ["report"]):
        subprocess.run([sys.executable, "-m", "asd_ray", *verb, "--run", ledger.layout.root], check=True)
    page = Path(ledger.layout.root, "report", "report.html").read_text()
    assert errors["hangs"] in page
    assert errors["hangs_in_c"] in page


def test_nodes_that_lack_something_are_named_and_their_trials_end_elsewhere(
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
def line(s3_server: S3Server) -> Iterator[Line]:
    made = Line(s3_server.port)
    yield made
    made.close()


def test_trials_outlast_thirty_seconds_without_s3(
    start: Begin, cluster: RayCluster, s3_server: S3Server, aws: None, line: Line
) -> None:
    client = boto3.client("s3", endpoint_url=s3_server.endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="asd-ray-test")
    run = "s3://asd-ray-test/runs/outage?endpoint_override=http://127.0.0.1:"
    ledger = Ledger(f"{run}{s3_server.port}")
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


def test_a_node_whose_clock_is_a_day_ahead_does_no_harm(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
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


def test_a_search_is_sent_to_a_cluster_and_followed(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
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


def test_a_plain_search_never_joins_the_ray_that_runs_here(start: Begin, cluster: RayCluster, ledger: Ledger) -> None:
    cluster.have("head")
    said = finish(start("Held", "--trials", "2", "--cpus", "1", address="local", RAY_ADDRESS=cluster.address))
    assert "2 trials run now, 2 in all" in said
    assert cluster.places() == {"own": 2}
    check_nothing_lost(ledger, cluster, kept(ledger), 2)
