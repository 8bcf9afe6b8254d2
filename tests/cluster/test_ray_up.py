"""A real `ray up`, from a laptop to two hosts, with cluster-onprem.yaml's own commands; hosts.py makes the three."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from asd_ray.ledger import Ledger, verify

from ..tuning.searches import loud_set, statuses
from . import hosts

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).parent / "ray"
HOSTS = ("head-host", "worker-host")
SEARCH = ["--families", "autoencoder,idnn", "--trials", "5", "--epochs-cap", "6", "--cpus-per-trial", "1"]
PLAIN = {"gain": 1.5, "seconds": 1.0}  # every detector hears it, so no trial is stopped early
RAYLETS = """
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Holds a whole environment and its wheels, so it goes at once."""
    made = tmp_path / "cluster"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(1200)
def test_ray_up_search_fetch_and_ray_down_on_two_hosts(folder: Path) -> None:
    if reason := hosts.refusal():
        warnings.warn(f"no second host ({reason}): the search runs on two raylets of this computer", stacklevel=1)
        search_on_two_raylets(folder)
        return
    wheels = wheelhouse(folder / "wheels")
    made = hosts.Hosts(folder / "hosts", keep=[wheels], laptop_keep=[Path(sys.prefix), Path(sys.base_prefix)])
    before = outside()
    with made as cluster:
        for host in HOSTS:
            sees_only_its_own_processes(cluster, host)  # `ray stop` comes first in every start
        project = laptop(cluster, wheels)
        ray = command(cluster, project)
        up_and_down(cluster, ray)
        inside = cluster.processes()
        assert len(inside) >= 5
    assert [line for pid, line in inside.items() if Path(f"/proc/{pid}").exists()] == []
    assert outside() == before


def up_and_down(cluster: hosts.Hosts, ray: Callable[..., str]) -> None:
    shared = cluster.folder / "shared"
    data, run = loud_set(shared / "data", **PLAIN), shared / "run"
    ray("up", "-y", "c.yaml", timeout=600)
    assert stat_mode(cluster.home / ".ray" / "auth_token") == "600"
    for left_at_home in (".git", ".venv/of_the_laptop", "runs"):
        assert not (cluster.home / "asd_ray" / left_at_home).exists()
    wait(lambda: living(ray) == sorted(HOSTS), 300)

    arguments = f"fan --address auto --data {data} --run {run} --families ray_families:Waits,idnn --trials 4"
    search = f"python -m asd_ray.search {arguments} --epochs-cap 2 --cpus-per-trial {os.cpu_count()}"  # one a host
    with ThreadPoolExecutor() as beside:
        said = beside.submit(ray, "exec", "c.yaml", search, timeout=400)
        wait(lambda: said.done() or len(list(notes(cluster).iterdir())) == 2, 300)
        (notes(cluster) / "go").touch()  # each host has a trial that waits for this
        assert "8 trials run now, 8 in all" in said.result()
    assert "0 trials run now" in ray("exec", "c.yaml", search)
    ray("exec", "c.yaml", "--tmux", search.replace("--trials 4", "--trials 5"))  # goes on without the laptop
    wait(lambda: len(Ledger(run).records()) == 10, 120)
    ray("exec", "c.yaml", f"python -m asd_ray.ensemble --run {run}")
    ray("exec", "c.yaml", f"python -m asd_ray.report --run {run} --out report")

    fetched = cluster.folder / "laptop"
    ray("rsync-down", "c.yaml", f"{run}/", str(fetched / "run"))
    ray("rsync-down", "c.yaml", "~/report/", str(fetched / "report"))
    assert "fan" in next((fetched / "report").glob("*.html")).read_text()
    ledger = Ledger(fetched / "run")
    records = ledger.records()
    assert verify(ledger).is_clean
    assert statuses(records) == {("waits", "complete"): 5, ("idnn", "complete"): 5}
    assert {record.node for record in records} == set(HOSTS)
    for host in HOSTS:  # the bank is built once a node, on its own disk
        assert cluster.ssh(host, "find /tmp/asd_ray_cache -type f | wc -l") != "0\n"

    ray("down", "-y", "c.yaml")
    assert processes(cluster, HOSTS[0]) == []
    wait(lambda: "raylet" not in cluster.ssh(HOSTS[1], "ps -eo comm"), 120)  # it misses its head
    cluster.ssh(HOSTS[1], "~/asd_ray/.venv/bin/ray stop")  # what else stays there is told in the file
    assert processes(cluster, HOSTS[1]) == []


def notes(cluster: hosts.Hosts) -> Path:
    """Where `ray_families.Waits` says that it began, and waits for a file named go."""
    return cluster.folder / "notes"


@pytest.mark.timeout(700)
def test_a_search_joins_a_cluster_of_several_raylets(folder: Path) -> None:
    search_on_two_raylets(folder)


def search_on_two_raylets(folder: Path) -> None:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    data, run = loud_set(folder / "data", **PLAIN), folder / "run"
    with tempfile.TemporaryDirectory() as short:  # Ray's sockets lie here, and their paths may have 107 characters
        said = on_two_raylets(["--data", str(data), "--run", str(run)], {**os.environ, **token, "RAY_TMPDIR": short})
    records = Ledger(run).records()
    assert "10 trials run now, 10 in all" in said
    assert verify(Ledger(run)).is_clean
    assert statuses(records) == {("autoencoder", "complete"): 5, ("idnn", "complete"): 5}
    ended = {record.trial: datetime.fromisoformat(record.created) for record in records}
    spans = sorted((ended[each.trial] - timedelta(seconds=each.seconds or 0), ended[each.trial]) for each in records)
    assert any(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))  # one CPU a raylet


def on_two_raylets(arguments: list[str], environment: dict[str, str]) -> str:
    with subprocess.Popen(
        [sys.executable, "-c", RAYLETS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as raylets:
        assert raylets.stdout is not None
        try:
            address = raylets.stdout.readline().strip()
            assert address, "the raylets did not start"
            done = subprocess.run(
                [sys.executable, "-m", "asd_ray.search", "fan", "--address", address, *arguments, *SEARCH],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                timeout=500,  # 30 where nothing else runs
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"the search did not end; it said:\n{error.output}")
        finally:
            with contextlib.suppress(BrokenPipeError):
                raylets.communicate("\n", timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def wheelhouse(folder: Path) -> Path:
    """All that `make node` installs, from wherever this computer's pip takes it: the hosts reach no index."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--find-links", str(folder)]
    folder.mkdir()
    for what in (["torch"], [str(ROOT), "hatchling", "editables"]):
        done = subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), *what], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def sees_only_its_own_processes(cluster: hosts.Hosts, host: str) -> None:
    found = cluster.ssh(host, "hostname; cat /proc/1/comm; ls -d /proc/[0-9]*; readlink /proc/1/ns/pid").split()
    assert found[:2] == [host, "sshd"]
    assert found[-1] != os.readlink("/proc/self/ns/pid")
    assert len(found) <= 7, found


def laptop(cluster: hosts.Hosts, wheels: Path) -> Path:
    """The project as a user has it, cluster-onprem.yaml with the hosts' addresses, and how the hosts' pip is set."""
    project = cluster.folder / "laptop" / "asd_ray"
    unwanted = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "runs")
    shutil.copytree(ROOT, project, ignore=unwanted)
    for left_at_home in (".git/config", ".venv/of_the_laptop", "runs/old"):
        (project / left_at_home).parent.mkdir(exist_ok=True)
        (project / left_at_home).touch()
    original = yaml.safe_load((project / "cluster-onprem.yaml").read_text())
    config = original | {
        "provider": {"type": "local", "head_ip": cluster.address(HOSTS[0]), "worker_ips": [cluster.address(HOSTS[1])]},
        "auth": {"ssh_user": "root", "ssh_private_key": str(cluster.key)},
        "max_workers": 1,
    }
    assert {key for key in config if config[key] != original[key]} == {"provider", "auth", "max_workers"}
    (project / "c.yaml").write_text(yaml.safe_dump(config))
    settings = cluster.home / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    # a third of an installation is bytecode of modules that no test imports
    own = f"no-index = true\nfind-links = {wheels}\nno-cache-dir = true\ncompile = false\n"
    settings.write_text(f"[global]\n{own}")
    notes(cluster).mkdir()
    environment = {
        "PATH": f"$PATH:{sys.base_prefix}/bin",  # it may hold the only python3.11
        "PYTHONPATH": "$HOME/asd_ray/tests/tuning",  # a user's own family: ray_families.py
        "ASD_RAY_TEST_NOTES": notes(cluster),
        "ASD_RAY_CACHE": "/tmp/asd_ray_cache",
        "RAY_gcs_rpc_server_reconnect_timeout_s": 15,  # seconds; Ray's own is a minute
        "RAY_worker_niceness": 0,  # as tests/conftest.py sets it here
    }
    (cluster.home / ".bashrc").write_text("".join(f'export {name}="{value}"\n' for name, value in environment.items()))
    return project


def command(cluster: hosts.Hosts, project: Path) -> Callable[..., str]:
    """Ray's command line on the laptop, from the environment that runs this test."""

    def ray(*arguments: str, timeout: float = 240) -> str:
        environment = {"RAY_USAGE_STATS_ENABLED": "0"}
        done = cluster.run(RAY, *arguments, cwd=project, timeout=timeout, environment=environment)
        assert done.returncode == 0, f"ray {' '.join(arguments)}\n{done.stdout}"
        return done.stdout

    ray("get-auth-token", "--generate")
    return ray


def living(ray: Callable[..., str]) -> list[str]:
    code = (
        "import ray; ray.init('auto'); print('living', *[n['NodeManagerHostname'] for n in ray.nodes() if n['Alive']])"
    )
    found = re.search(r"^living (.*)$", ray("exec", "c.yaml", f'python -c "{code}"'), flags=re.MULTILINE)
    assert found
    return sorted(found[1].split())


def processes(cluster: hosts.Hosts, host: str) -> list[str]:
    """What of Ray runs on a host."""
    listed = cluster.ssh(host, "ps -eo args").splitlines()
    return [line for line in listed if "/.venv/" in line or "ray::" in line or "raylet" in line]


def stat_mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def outside() -> tuple[str, list[str], list[str]]:
    """What of this computer a host could disturb."""
    links = sorted(os.listdir("/sys/class/net"))
    mounts = sorted(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    return os.uname().nodename, links, mounts


def wait(what: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(2)
