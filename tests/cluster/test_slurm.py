"""cluster-slurm.sh on a real Slurm of two hosts, where Slurm is installed; hosts.py makes the hosts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asd_ray.ledger import Ledger, verify

from ..tuning.searches import loud_set, statuses
from . import hosts

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "cluster-slurm.sh"
HOSTS = ("head-host", "worker-host")
SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
# accounting, cgroups and the check of a node's size are off: the hosts are only namespaces of one kernel
SETTINGS = """
ClusterName=test
SlurmctldHost=head-host
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n.spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.slurmd.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=head-host,worker-host CPUs=2 RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=EXCLUSIVE
"""


def test_bash_reads_the_script() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    """Below /tmp with a short name: paths of sockets may have 107 characters."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_searches_on_two_hosts_and_leaves_nothing_running(folder: Path) -> None:
    if missing := [program for program in SLURM if shutil.which(program) is None]:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)}")
    if reason := hosts.refusal():
        pytest.skip(f"no second host: {reason}")
    keep = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
    with hosts.Hosts(folder / "hosts", keep=keep) as cluster:
        shared = cluster.folder / "shared"
        data, run = loud_set(shared / "data", gain=1.5, seconds=1.0), shared / "run"
        shell = slurm(cluster, shared)
        (cluster.folder / "notes").mkdir()
        words = f"fan --data {data} --run {run} --families ray_families:Waits --trials 4"
        shell(f"cd {shared} && sbatch {SCRIPT} {words} --cpus-per-trial 2")  # a host for each
        try:
            wait(lambda: len(list((cluster.folder / "notes").iterdir())) == 2, 300)
            cores = "grep Cpus_allowed_list /proc/{}/status"
            for host in HOSTS:  # Slurm ties the tasks of a step to its cores, and those of Ray's step are all
                assert shell(cores.format("$(pgrep -x raylet)"), host) == shell(cores.format("self"), host)
            (cluster.folder / "notes" / "go").touch()  # each host has a trial that waits for this
            wait(lambda: "1" not in shell("squeue --noheader --format %i"), 300)
        finally:
            logs = "\n".join(path.read_text() for path in shared.glob("*.log"))
            print(logs)  # pytest shows it where the test fails
        records = Ledger(run).records()
        assert "Ray runs on 2 of 2 nodes" in logs
        assert "Ray has 2 nodes with 4 CPU" in logs
        assert "4 trials run now, 4 in all" in logs
        assert "ExitCode=0:0" in shell("scontrol show job 1")
        assert verify(Ledger(run)).is_clean
        assert statuses(records) == {("waits", "complete"): 4}
        assert {record.node for record in records} == set(HOSTS)
        for host in HOSTS:
            wait(lambda host=host: "raylet" not in cluster.ssh(host, "ps -eo args"), 60)  # type: ignore[misc]


def slurm(cluster: hosts.Hosts, shared: Path) -> Callable[[str], str]:
    """Slurm on both hosts, the controller on the first. Gives a shell there with the environment of this test."""
    settings, key = shared / "slurm.conf", shared / "munge.key"
    settings.write_text(SETTINGS.format(folder=shared))
    (shared / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # not looked for: the hosts have none mounted
    key.write_bytes(b"only for this test, of one kernel" * 2)
    key.chmod(0o600)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'tuning'}",  # ray_families.py is a user's own family
        "PYTHONDONTWRITEBYTECODE": "1",
        "ASD_RAY_TEST_NOTES": cluster.folder / "notes",
        "ASD_RAY_CACHE": "/tmp/asd_ray_cache",
        "RAY_USAGE_STATS_ENABLED": "0",
        "SLURM_CONF": settings,
    }
    exports = "".join(f"export {name}={value}; " for name, value in environment.items())

    def shell(command: str, host: str = HOSTS[0]) -> str:
        return cluster.ssh(host, exports + command)

    for host in HOSTS:
        munge = f"mkdir -p -m 755 /run/munge /tmp/munge && munged --force --key-file={key} --seed-file=/tmp/munge/seed"
        shell(f"{munge} --log-file=/tmp/munge/log --pid-file=/run/munge/munged.pid", host)
    shell(f"mkdir -p {shared}/state && slurmctld")
    for host in HOSTS:
        shell(f"mkdir -p {shared}/{host}.spool && slurmd -N {host}", host)
    wait(lambda: shell("sinfo --noheader --format '%D %t'").split() == ["2", "idle"], 60)
    return shell


def wait(what: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(1)
