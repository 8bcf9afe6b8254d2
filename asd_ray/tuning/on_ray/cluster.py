"""Where a search runs: a private Ray on this computer, or a cluster that it joins; and its resources."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

from asd_ray.errors import AsdRayError
from asd_ray.families import Resources
from asd_ray.tuning.on_ray._ray import ray
from asd_ray.tuning.on_ray.head_monitor import answers, monitor_head
from asd_ray.tuning.study import Study

LOCAL = "local"
OBJECTS = 256 << 20  # bytes of a private Ray's object store: the clip table is all that travels
GIB = 1 << 30
LOOK_AGAIN = 2.0  # seconds after which the nodes are counted again
BOOTSTRAP = "~/ray_bootstrap_config.yaml"  # where `ray up` leaves the cluster's file on its head
HOST_PORT = re.compile(r".+:\d+")
NOT_JOINED = (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError)


NOTHING = Resources(0.0, 0.0)


class Cluster:
    """The resources of the Ray that this process has joined: those it has now, and those an autoscaler may add."""

    def __init__(self, address: str = LOCAL) -> None:
        self._looked = -math.inf
        self._nodes: dict[str, Resources] = {}  # Ray's id of each node that is alive
        self._rest_until: dict[str, float] = {}  # node id -> time.monotonic()
        self._gone: set[str] = set()
        largest = None if address == LOCAL else _largest_by_autoscaler()
        self.most: Resources | None = largest[0] if largest else None  # None: no more than the nodes have now
        self._node_types = largest[1] if largest else []  # resources of the nodes that an autoscaler may add

    @property
    def nodes(self) -> list[Resources]:
        return list(self._living().values())

    def resting(self, request: Resources) -> list[str]:
        """Nodes that get no trial of this request for now; empty if no other node could run it."""
        able = [node for node, resources in self._living().items() if resources.covers(request)]
        resting = sorted(node for node in able if self._rest_until.get(node, -math.inf) > time.monotonic())
        return resting if len(resting) < len(able) else []

    def rest(self, node: str, seconds: float) -> None:
        """Give this node no trial for `seconds`, because it lacks something that trials need."""
        self._rest_until[node] = time.monotonic() + seconds

    def _living(self) -> dict[str, Resources]:
        if time.monotonic() - self._looked > LOOK_AGAIN:
            nodes = ray.nodes()  # type: ignore[no-untyped-call]
            self._nodes = {node["NodeID"]: _resources(node["Resources"]) for node in nodes if node["Alive"]}
            self._gone = {node["NodeID"] for node in nodes if not node["Alive"]}
            self._looked = time.monotonic()
        return self._nodes

    def is_gone(self, node: str) -> bool:
        """Whether the node of this id has left the cluster, for example a spot instance that was taken away."""
        return bool(self._living()) and node in self._gone

    @property
    def now(self) -> Resources:
        """What all present nodes have together."""
        return sum(self.nodes, NOTHING)

    @property
    def capacity(self) -> Resources:
        """What trials may request together. An autoscaler adds nodes when this is more than the nodes have now."""
        return self._with_autoscaling(self.now)

    def capacity_for(self, request: Resources) -> Resources:
        """The capacity without the nodes that rest from trials of this request."""
        resting = self.resting(request)
        awake = [resources for node, resources in self._living().items() if node not in resting]
        return self._with_autoscaling(sum(awake, NOTHING))

    def _with_autoscaling(self, now: Resources) -> Resources:
        return now if self.most is None else now.at_least(self.most)

    def trials_at_once(self, request: Resources) -> int:
        """How many trials of this request run at once on the present nodes."""
        return sum(node.trials_at_once(request) for node in self.nodes)

    def check(self, studies: Sequence[Study]) -> None:
        """Raise if a trial of a study could never start."""
        for study in studies:
            request = study.resources
            if self.trials_at_once(request) or any(node.covers(request) for node in self._node_types):
                continue
            raise AsdRayError(
                f"a trial of {study.family.name} asks for {request}, but no node of this Ray has that: "
                f"{self.description()}; ask for less with --gpus-per-trial 0, --cpus-per-trial 1 or "
                "--memory-per-trial 0, or run it where there is more"
            )

    def description(self) -> str:
        """The resources as a text for users."""
        count = len(self.nodes)
        nodes = f"{count} node{'s' * (count != 1)} with " if count != 1 else ""
        more = "" if self.most is None else f", by autoscaling up to {self.most}"
        return f"{nodes}{self.now}{more}"


def _resources(amounts: dict[str, Any]) -> Resources:
    """Resources from Ray's names, with memory in bytes."""
    memory = float(amounts.get("memory", 0)) / GIB
    return Resources(float(amounts.get("CPU", 0)), float(amounts.get("GPU", 0)), memory=memory)


def _largest_by_autoscaler() -> tuple[Resources, list[Resources]] | None:
    """The most that an autoscaler may add, and its types of nodes. None if there is no autoscaler.

    Ray itself reports this for autoscalers of version 2; for others, the file that `ray up` left on this head is read.
    """
    with contextlib.suppress(Exception):  # Ray has no public way to ask
        from ray._private import state

        if amounts := state.state.get_max_resources_from_cluster_config():
            groups = state.state.get_cluster_config().node_group_configs
            return _resources(amounts), [_resources(dict(group.resources)) for group in groups]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        if _is_head():  # elsewhere the file describes another cluster
            return largest_of(yaml.safe_load(Path(BOOTSTRAP).expanduser().read_text()))
    return None


def _is_head() -> bool:
    own = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["NodeID"] == own and "node:__internal_head__" in node["Resources"] for node in nodes)


def largest_of(config: dict[str, Any]) -> tuple[Resources, list[Resources]] | None:
    """What a cluster file allows: its head plus the most workers, largest first; and the types of nodes."""
    types = config["available_node_types"]
    left = int(config.get("max_workers", 0))
    total = _resources(types[config["head_node_type"]].get("resources", {}))
    counts = [(_resources(node.get("resources", {})), int(node.get("max_workers", left))) for node in types.values()]
    for node, count in sorted(counts, key=lambda pair: (-pair[0].gpu, -pair[0].cpu)):
        count = min(count, left)
        left -= count
        total += node.times(count)
    return (total, [node for node, _ in counts]) if total.cpu else None


@contextmanager
def ray_at(
    address: str = LOCAL, *, cpus: int | None = None, gpus: int | None = None, dashboard: bool = True
) -> Iterator[str]:
    """A Ray for as long as the block lasts. Yields the dashboard's address, or "".

    ``local`` starts a private Ray, whatever else runs on this computer. ``auto`` joins the Ray that runs on it, and
    ``HOST:PORT`` joins the Ray at that address.
    """
    if ray.is_initialized():
        raise AsdRayError("this process is connected to a Ray already; call ray.shutdown() first, or search serially")
    context = _private(cpus, gpus, dashboard) if address == LOCAL else _joined(address)
    head = nullcontext() if address == LOCAL else monitor_head(ray.get_runtime_context().gcs_address)
    try:
        with head:
            yield str(context.dashboard_url or "")
    finally:
        ray.shutdown()


def _private(cpus: int | None, gpus: int | None, dashboard: bool) -> Any:
    before = os.umask(0o077)  # Ray may now write ~/.ray/auth_token, which no other user may read
    try:
        return ray.init(
            address=LOCAL,
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECTS,
        )
    except (OSError, *NOT_JOINED) as error:
        raise AsdRayError(
            f"a private Ray could not be started ({first_line(error)}); it keeps its token in ~/.ray and its files "
            "in /tmp/ray: see that $HOME and /tmp can be written, or search with --serial"
        ) from error
    except Exception as error:
        if "timed out" not in str(error):  # Ray raises a plain Exception after waiting 30 s for its own processes
            raise
        ray.shutdown()
        raise AsdRayError(
            "a private Ray did not start within 30 seconds; other programs keep this computer busy: run the same "
            "command again when they have ended, or search with --serial"
        ) from error
    finally:
        os.umask(before)


def check_address(address: str) -> None:
    """Raise within seconds if no Ray answers. Called before the data is prepared."""
    with _explained(address):
        place = _address_of_auto() if address == "auto" else address
        if place != "auto" and not HOST_PORT.fullmatch(place):
            raise ConnectionError(f"{place!r} is not HOST:PORT")
        if place != "auto" and not answers(place):  # Ray would wait for more than a minute, or without end
            raise ConnectionError(f"nothing answers at {place}")


def _joined(address: str) -> Any:
    check_address(address)
    with _explained(address):
        return ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except NOT_JOINED as error:
        raise AsdRayError(
            f"--address {address}: no Ray could be joined ({first_line(error)}); on a cluster run the command on its "
            "head (ray exec cluster.yaml '…'), with the token of ~/.ray/auth_token that the cluster was started with; "
            "leave --address out for a private Ray on this computer"
        ) from error


def _address_of_auto() -> str:
    """What ``auto`` means to Ray: $RAY_ADDRESS, the file that the last `ray start` left here, or a Ray that runs."""
    with contextlib.suppress(ImportError, AttributeError, TypeError):  # Ray has no public way
        from ray._private import services

        return str(services.get_ray_address_from_environment("auto", None))
    return "auto"


def first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
