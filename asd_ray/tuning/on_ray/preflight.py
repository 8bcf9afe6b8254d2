"""Before the first trial of a search on a cluster: what each node lacks, and how many trials will run at once."""

from __future__ import annotations

import importlib.metadata
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from asd_ray.errors import AsdRayError, listing
from asd_ray.families import Resources
from asd_ray.ledger import Ledger
from asd_ray.storage.heartbeat import store_clock
from asd_ray.tuning.on_ray._ray import ray
from asd_ray.tuning.on_ray.cluster import Cluster
from asd_ray.tuning.study import Study

SAME = ("asd_ray", "torch", "numpy", "ray")  # packages whose versions decide scores, or whether a trial runs at all
ANSWER = 90.0  # seconds that a node may take to start a process and answer


def check_nodes(ledger: Ledger, run_id: str) -> list[str]:
    """One line for everything that a node lacks. Raises if no node could run a trial."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check: Any = ray.remote(_check_this_node)
    hosts = {}  # Ray's reference to a future answer -> host name of its node
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = check.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        hosts[task.remote(ledger, run_id, _versions())] = node["NodeManagerHostname"]
    answers, silent = ray.wait(list(hosts), num_returns=len(hosts), timeout=ANSWER)
    unfit = [f"{hosts[answer]}: it did not answer for {ANSWER:g} s; see its load, and ray logs" for answer in silent]
    warnings = []
    for answer in answers:
        try:
            lacks, differs = ray.get(answer)
            unfit += lacks
            warnings += differs
        except Exception as error:  # a node without asd_ray, or with a broken one, may raise anything
            last = str(error).strip().splitlines()[-1]
            unfit.append(f"{hosts[answer]}: asd_ray does not run there ({last}); install it as on the other nodes")
    if len(unfit) >= len(nodes):
        raise AsdRayError(f"no node of this Ray can run a trial:\n{listing(sorted(unfit))}")
    return sorted([*unfit, *warnings])


def _check_this_node(ledger: Ledger, run_id: str, versions: dict[str, str]) -> tuple[list[str], list[str]]:
    """Why this node cannot run trials; and its packages of other versions, which is only a warning."""
    node, here = socket.gethostname(), _versions()
    try:
        ledger.check_seen(run_id)
        store_clock(ledger.files, ledger.layout.status)  # which also writes there
    except AsdRayError as error:
        return [f"{node}: {error}"], []
    other = [f"{name} {here[name]} instead of {versions[name]}" for name in SAME if here[name] != versions[name]]
    return [], [f"{node}: it has {', '.join(other)}; install the same versions on every node"] if other else []


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in SAME}


def plan_lines(cluster: Cluster, studies: Sequence[Study]) -> Iterator[str]:
    """The resources of Ray, what trials take, and how many run at once."""
    yield f"Ray has {cluster.description()}"
    families: dict[Resources, list[str]] = {}  # request of a trial -> the families whose trials make it
    for study in studies:
        families.setdefault(study.resources, []).append(study.family.name)
    for request, names in families.items():
        alone = " if nothing else runs" if len(families) > 1 else ""
        now = cluster.trials_at_once(request)
        count = f"{now} at once{alone}" if now else "none fits now, nodes are asked for"
        yield f"a trial of {', '.join(dict.fromkeys(names))} takes {request}: {count}"
