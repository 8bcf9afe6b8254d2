"""The resources of a cluster and what fits into them, with nodes as Ray lists them. Real nodes: test_faults.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from asd_ray.errors import AsdRayError
from asd_ray.families import Resources
from asd_ray.tuning.on_ray import cluster as module
from asd_ray.tuning.on_ray.cluster import Cluster, largest_of
from asd_ray.tuning.on_ray.preflight import plan_lines

GIB = 1 << 30
Nodes = Callable[..., Cluster]


def node(name: str, cpu: float, gpu: float = 0, memory: float = 64, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cpu, "GPU": gpu, "memory": memory * GIB}}


@pytest.fixture
def cluster_of(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Makes a cluster of these nodes; they may be changed afterwards."""

    def make(*nodes: dict[str, Any]) -> Cluster:
        monkeypatch.setattr(module, "LOOK_AGAIN", -1.0)
        monkeypatch.setattr(module.ray, "nodes", lambda: list(nodes))
        return Cluster()

    return make


def study(request: Resources, family: str = "stgram") -> Any:
    return SimpleNamespace(resources=request, family=SimpleNamespace(name=family))


@pytest.mark.parametrize(
    ("node", "trial", "count"),
    [
        (Resources(8, 0, memory=64), Resources(1, 0), 8),
        (Resources(8, 2, memory=64), Resources(1, 1), 2),
        (Resources(8, 2, memory=64), Resources(1, 0.25), 8),
        (Resources(64, 2, memory=64), Resources(1, 0.4), 4),  # two a card: what is left of a card joins no other's
        (Resources(64, 2, memory=64), Resources(1, 0.3334), 4),
        (Resources(64, 2, memory=64), Resources(1, 0.3333), 6),
        (Resources(64, 8, memory=64), Resources(1, 4), 2),
        (Resources(8, 0, memory=64), Resources(1, 0, memory=20), 3),
        (Resources(0.5, 0, memory=64), Resources(1, 0), 0),
        (Resources(1, 0, memory=64), Resources(0.1, 0), 10),
    ],
)
def test_how_many_trials_run_at_once_on_a_node(node: Resources, trial: Resources, count: int) -> None:
    assert node.trials_at_once(trial) == count


def test_no_trial_is_split_between_two_nodes(cluster_of: Nodes) -> None:
    small = cluster_of(node("a", 2), node("b", 3))
    assert small.now.cpu == 5
    assert small.trials_at_once(Resources(2, 0)) == 2
    with pytest.raises(AsdRayError, match="a trial of stgram asks for 4 CPU, 0 GPU, but no node of this Ray has that"):
        small.check([study(Resources(4, 0))])
    small.check([study(Resources(3, 0))])


def test_capacity_follows_the_nodes(cluster_of: Nodes) -> None:
    nodes = [node("a", 4), node("b", 8, 2)]
    cluster = cluster_of(*nodes)
    assert (cluster.capacity.cpu, cluster.capacity.gpu) == (12, 2)
    nodes[1]["Alive"] = False
    assert (cluster.capacity.cpu, cluster.capacity.gpu) == (4, 0)
    assert cluster.is_gone("b")
    assert not cluster.is_gone("a")


def test_a_node_that_could_not_run_a_trial_rests_as_long_as_others_can(cluster_of: Nodes) -> None:
    nodes = [node("a", 4), node("b", 8, 2)]
    cluster = cluster_of(*nodes)
    cluster.rest("b", 60)
    assert cluster.resting(Resources(1, 0)) == ["b"]
    assert cluster.capacity_for(Resources(1, 0)).cpu == 4
    assert cluster.resting(Resources(1, 1)) == []  # nobody else has a GPU
    nodes[0]["Alive"] = False
    assert cluster.resting(Resources(1, 0)) == []
    cluster.rest("b", -1)
    nodes[0]["Alive"] = True
    assert cluster.resting(Resources(1, 0)) == []


def test_the_plan_lists_resources_and_trials_at_once(cluster_of: Nodes) -> None:
    cluster = cluster_of(node("a", 16), node("b", 8, 2))
    half = Resources(1, 0.5)
    studies = [study(half), study(half, "idnn"), study(Resources(4, 0, memory=8), "gmm")]
    assert list(plan_lines(cluster, studies)) == [
        "Ray has 2 nodes with 24 CPU, 2 GPU, 128 GiB of memory",
        "a trial of stgram, idnn takes 1 CPU, 0.5 GPU: 4 at once if nothing else runs",
        "a trial of gmm takes 4 CPU, 0 GPU, 8 GiB of memory: 6 at once if nothing else runs",
    ]


def test_the_largest_cluster_that_the_file_allows() -> None:
    config = yaml.safe_load((Path(__file__).parents[3] / "cluster.yaml").read_text())
    assert largest_of(config) is None  # `ray up` fills in what the machines have
    kinds = config["available_node_types"]
    kinds["head"]["resources"] = {"CPU": 8, "memory": 32 * GIB}
    kinds["gpu-worker"]["resources"] = {"CPU": 8, "GPU": 1, "memory": 30 * GIB}
    most, nodes = largest_of(config) or (None, [])
    assert most == Resources(72, 8, memory=32 + 8 * 30)
    assert nodes == [Resources(8, 0, memory=32), Resources(8, 1, memory=30)]
    config["max_workers"] = 3
    assert (largest_of(config) or (None,))[0] == Resources(32, 3, memory=32 + 3 * 30)


def test_trials_may_ask_for_nodes_that_autoscaling_adds(cluster_of: Nodes) -> None:
    cluster = cluster_of(node("head", 8))
    cluster.most = Resources(72, 8, memory=272)
    cluster._node_types = [Resources(8, 0, memory=32), Resources(8, 1, memory=30)]
    assert cluster.capacity.gpu == 8
    cluster.check([study(Resources(1, 1))])
    with pytest.raises(AsdRayError, match="by autoscaling up to 72 CPU, 8 GPU"):
        cluster.check([study(Resources(1, 4))])  # eight cards, but never four in one node
    assert list(plan_lines(cluster, [study(Resources(1, 1))]))[1] == (
        "a trial of stgram takes 1 CPU, 1 GPU: none fits now, nodes are asked for"
    )
