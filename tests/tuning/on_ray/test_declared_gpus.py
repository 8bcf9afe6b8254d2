"""Clusters on this computer whose GPUs are declared and do not exist: shares of a GPU, and nodes of an autoscaler.

The autoscaler is Ray's own, version 2 as on AWS, with what `ray up` leaves on its head: ~/ray_bootstrap_config.yaml.
Only the cloud is not there: Ray's provider for tests starts a raylet on this computer for each node.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE

from asd_ray.ledger import Ledger, verify
from asd_ray.tuning.on_ray.worker import PRETENDED

from ..ray_cluster import RayCluster, free_port
from ..searches import finish, kill_tree, processes, statuses, wait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Search = Callable[..., subprocess.Popen[str]]
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"


def of_this_computer(address: str) -> dict[str, Any]:
    """cluster.yaml with nodes on this computer: nothing has to be installed, and at most two can be added."""
    config = yaml.safe_load((Path(__file__).parents[3] / "cluster.yaml").read_text())
    worker = config["available_node_types"]["gpu-worker"]
    provider = {"type": "external", "module": PROVIDER, "gcs_address": address, "disable_node_updaters": True}
    config |= {
        "provider": provider | {"launch_multiple": True, "head_node_id": FAKE_HEAD_NODE_ID},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "gpu-worker": worker | {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "max_workers": 2},
        },
        "max_workers": 2,
        "idle_timeout_minutes": 0.2,
        "file_mounts": {},
    }
    kinds = ("setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return (
        config
        | {"initialization_commands": [], "cluster_synced_files": []}
        | {f"{kind}_commands": [] for kind in kinds}
    )


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[RayCluster]:
    """A head with one CPU; up to two nodes with a GPU can be added, and none is there yet."""
    address = f"127.0.0.1:{free_port()}"
    home = tmp_path / "home"
    home.mkdir()
    path = home / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(of_this_computer(address)))
    environment = {
        "HOME": str(home),
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_enable_autoscaler_v2": "1",  # as `ray up` sets it on AWS
        "RAY_FAKE_CLUSTER": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        PRETENDED: "1",
    }
    cluster = RayCluster(
        tmp_path / "cluster",
        address=address,
        more=environment,
        head_options=["--num-gpus=0", f"--autoscaling-config={path}"],
    )
    yield cluster
    cluster.close()


@pytest.fixture
def one_card(tmp_path: Path) -> Iterator[RayCluster]:
    cluster = RayCluster(tmp_path / "cluster", cpus=6, more={PRETENDED: "1"}, head_options=["--num-gpus=1"])
    yield cluster
    cluster.close()


@pytest.fixture
def search(ledger: Ledger, loud: Path) -> Iterator[Search]:
    """Start a search whose trials wait until the file `hold` is removed."""
    with processes() as begin:

        def start(cluster: RayCluster, families: str, *more: str) -> subprocess.Popen[str]:
            cluster.forget_notes()
            (cluster.notes / "hold").touch()
            cluster.have("head")
            names = ",".join(f"ray_families:{name}" for name in families.split())
            options = ["--data", loud, "--run", ledger.layout.root, "--families", names, "--address", cluster.address]
            return begin(["-m", "asd_ray.search", "fan", *options, *more], cluster.environment)

        yield start


def raylets(cluster: RayCluster) -> list[int]:
    """Process ids of the raylets that are alive, the head's first."""
    living = []
    for each in cluster.nodes["head"].family():
        with contextlib.suppress(psutil.NoSuchProcess), each.oneshot():
            if each.name() == "raylet" and each.status() != psutil.STATUS_ZOMBIE:
                living.append((each.create_time(), each.pid))
    return [pid for _, pid in sorted(living)]


def test_nodes_are_added_for_trials_replaced_when_lost_and_removed_when_idle(
    growing: RayCluster, search: Search, ledger: Ledger
) -> None:
    cluster = growing
    process = search(cluster, "HeldOnGpu", "--gpus-per-trial", "1", "--trials", "6")
    wait(lambda: cluster.fits().total() == 2, process)
    head, first, second = raylets(cluster)
    kill_tree(first)  # as a spot machine that is taken away
    wait(lambda: cluster.fits().total() == 3, process)
    assert raylets(cluster)[:2] == [head, second]
    assert len(raylets(cluster)) == 3
    (cluster.notes / "hold").unlink()
    output = finish(process)
    assert "by autoscaling up to 3 CPU, 2 GPU" in output
    assert "none fits now, nodes are asked for" in output
    assert statuses(ledger.records()) == {("held_on_gpu", "complete"): 6}
    assert verify(ledger).is_clean
    assert cluster.fits().total() == 7, "only the trial of the lost node ran once more"
    (living,) = cluster.nodes.values()
    wait(lambda: raylets(cluster) == [head], living.process)


def test_trials_share_a_gpu_and_trials_without_one_run_at_the_same_time(
    one_card: RayCluster, search: Search, ledger: Ledger
) -> None:
    process = search(one_card, "Held HeldOnGpu", "--gpus-per-trial", "0.5", "--trials", "5")

    def at_work() -> Counter[str]:
        return Counter(path.read_text().split()[0] for path in one_card.notes.glob("*.txt"))

    wait(lambda: at_work().total() == 6, process)
    assert at_work() == {"Held": 4, "HeldOnGpu": 2}
    (one_card.notes / "hold").unlink()
    output = finish(process)
    assert "a trial of held takes 1 CPU, 0 GPU: 6 at once if nothing else runs" in output
    assert "a trial of held_on_gpu takes 1 CPU, 0.5 GPU: 2 at once if nothing else runs" in output
    assert statuses(ledger.records()) == {("held", "complete"): 5, ("held_on_gpu", "complete"): 5}
