"""Where a search runs: a private Ray on this computer, or one that is there; what it has, and what fits into it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asd_ray.errors import AsdRayError
from asd_ray.tuning.on_ray._ray import ray
from asd_ray.tuning.on_ray.head_monitor import answers, monitor_head
from asd_ray.tuning.study import Share, Study

LOCAL = "local"
OBJECTS = 256 << 20  # bytes of a private Ray's object store: the clip table is all that travels
GIB = 1 << 30
LOOK_AGAIN = 2.0  # seconds after which the nodes are counted anew
BOOTSTRAP = "~/ray_bootstrap_config.yaml"  # where `ray up` leaves the cluster's file on its head
EPSILON = 1e-6
HOST_PORT = re.compile(r".+:\d+")
NOT_JOINED = (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError)


@dataclass(frozen=True)
class Room:
    """CPUs, GPUs and GiB of memory: of a node, or of all of them together."""

    cpu: float
    gpu: float
    memory: float

    def takes(self, share: Share) -> bool:
        return (
            self.cpu >= share.cpu - EPSILON
            and self.gpu >= share.gpu - EPSILON
            and self.memory >= share.memory - EPSILON
        )

    def holds(self, share: Share) -> int:
        """How many trials of this share run at once, on one node; a whole card is never split between two."""
        ways = [self.cpu / share.cpu]
        if share.gpu:
            a_card = math.floor(1 / share.gpu + EPSILON) if share.gpu <= 1 else 1
            ways.append(int(self.gpu) * a_card if share.gpu <= 1 else self.gpu / share.gpu)
        if share.memory:
            ways.append(self.memory / share.memory)
        return math.floor(min(ways) + EPSILON)

    def __add__(self, other: Room) -> Room:
        return Room(self.cpu + other.cpu, self.gpu + other.gpu, self.memory + other.memory)


NOTHING = Room(0.0, 0.0, 0.0)


class Cluster:
    """What the Ray that is running has now, and may have once its autoscaler has brought all nodes it may bring."""

    def __init__(self, address: str = LOCAL) -> None:
        self._looked = -math.inf
        self._nodes: dict[str, Room] = {}
        self._rest: dict[str, float] = {}  # node -> until when
        self._gone: set[str] = set()
        found = None if address == LOCAL else _most_by_autoscaler()
        self.most: Room | None = found[0] if found else None  # None: no more than is there now
        self._kinds = found[1] if found else []  # of nodes that may come

    @property
    def nodes(self) -> list[Room]:
        return list(self._living().values())

    def resting(self, share: Share) -> list[str]:
        """Nodes that are given no trial of this share now, as long as others could run it."""
        able = [node for node, room in self._living().items() if room.takes(share)]
        found = sorted(node for node in able if self._rest.get(node, -math.inf) > time.monotonic())
        return found if len(found) < len(able) else []

    def rests(self, node: str, seconds: float) -> None:
        """Give this node no trial for so long, for it lacks what they need."""
        self._rest[node] = time.monotonic() + seconds

    def _living(self) -> dict[str, Room]:
        if time.monotonic() - self._looked > LOOK_AGAIN:
            found = ray.nodes()  # type: ignore[no-untyped-call]
            self._nodes = {node["NodeID"]: _room(node["Resources"]) for node in found if node["Alive"]}
            self._gone = {node["NodeID"] for node in found if not node["Alive"]}
            self._looked = time.monotonic()
        return self._nodes

    def gone(self, node: str) -> bool:
        """Whether the node of this id is no longer there, as a spot instance that was taken away."""
        return bool(self._living()) and node in self._gone

    @property
    def now(self) -> Room:
        return sum(self.nodes, NOTHING)

    @property
    def room(self) -> Room:
        """What trials may ask for together. More than is there now is what makes an autoscaler bring nodes."""
        return self._grown(self.now)

    def room_for(self, share: Share) -> Room:
        """The room without the nodes that rest from trials of this share."""
        resting = self.resting(share)
        return self._grown(sum((room for node, room in self._living().items() if node not in resting), NOTHING))

    def _grown(self, now: Room) -> Room:
        if self.most is None:
            return now
        both = zip((now.cpu, now.gpu, now.memory), (self.most.cpu, self.most.gpu, self.most.memory), strict=True)
        return Room(*(max(pair) for pair in both))

    def at_once(self, share: Share) -> int:
        """Trials of one share that run at once on the nodes that are there."""
        return sum(node.holds(share) for node in self.nodes)

    def check(self, studies: Sequence[Study]) -> None:
        """A message at once where a trial could never start."""
        for study in studies:
            if self.at_once(study.share) or any(kind.takes(study.share) for kind in self._kinds):
                continue
            raise AsdRayError(
                f"a trial of {study.family.name} asks for {told(study.share)}, but no node of this Ray has that: "
                f"{self.told()}; ask for less with --gpus-per-trial 0, --cpus-per-trial 1 or --memory-per-trial 0, or "
                "run it where there is more"
            )

    def told(self) -> str:
        """For people: what there is."""
        nodes = self.nodes
        count = f"{len(nodes)} node{'s' * (len(nodes) != 1)} with " if len(nodes) != 1 else ""
        grows = "" if self.most is None else f", by autoscaling up to {told(self.most)}"
        return f"{count}{told(self.now)}{grows}"


def told(what: Share | Room) -> str:
    parts = [f"{what.cpu:g} CPU", f"{what.gpu:g} GPU"]
    if what.memory:
        parts.append(f"{what.memory:.3g} GiB of memory")
    return ", ".join(parts)


def _room(resources: dict[str, Any]) -> Room:
    memory = float(resources.get("memory", 0)) / GIB
    return Room(float(resources.get("CPU", 0)), float(resources.get("GPU", 0)), memory)


def _most_by_autoscaler() -> tuple[Room, list[Room]] | None:
    """The most that an autoscaler may bring, and the kinds of nodes: as Ray knows it, else as `ray up` left it here."""
    with contextlib.suppress(Exception):  # there is no public way, and the private one knows autoscalers of version 2
        from ray._private import state

        if found := state.state.get_max_resources_from_cluster_config():
            groups = state.state.get_cluster_config().node_group_configs
            return _room(found), [_room(dict(group.resources)) for group in groups]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        if _is_head():  # elsewhere such a file is of another cluster
            return most_of(yaml.safe_load(Path(BOOTSTRAP).expanduser().read_text()))
    return None


def _is_head() -> bool:
    own = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["NodeID"] == own and "node:__internal_head__" in node["Resources"] for node in nodes)


def most_of(config: dict[str, Any]) -> tuple[Room, list[Room]] | None:
    """CPUs, GPUs and memory of a cluster file's head and of as many workers as it allows, the largest first."""
    types = config["available_node_types"]
    left = int(config.get("max_workers", 0))
    total = _room(types[config["head_node_type"]].get("resources", {}))
    kinds = [(_room(each.get("resources", {})), int(each.get("max_workers", left))) for each in types.values()]
    for room, count in sorted(kinds, key=lambda pair: (-pair[0].gpu, -pair[0].cpu)):
        count = min(count, left)
        left -= count
        total = total + Room(room.cpu * count, room.gpu * count, room.memory * count)
    return (total, [room for room, _ in kinds]) if total.cpu else None


@contextmanager
def ray_at(
    address: str = LOCAL, *, cpus: int | None = None, gpus: int | None = None, dashboard: bool = True
) -> Iterator[str]:
    """A Ray for as long as the block lasts; gives the dashboard's address, or "".

    ``local`` is a private one on this computer, never one that happens to run here; ``auto`` joins the one that does,
    ``HOST:PORT`` that one.
    """
    if address == LOCAL:
        before = os.umask(0o077)  # Ray may write its token now: ~/.ray/auth_token is for nobody else
        try:
            context = ray.init(
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
        finally:
            os.umask(before)
    else:
        context = _joined(address)
    head = nullcontext() if address == LOCAL else monitor_head(ray.get_runtime_context().gcs_address)
    try:
        with head:
            yield str(context.dashboard_url or "")
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """A message within seconds where no Ray answers: to be called before anything is made for it."""
    with _told_when_not_joined(address):
        found = _address_of_auto() if address == "auto" else address
        if found != "auto" and not HOST_PORT.fullmatch(found):
            raise ConnectionError(f"{found!r} is not HOST:PORT")
        if found != "auto" and not answers(found):  # Ray would wait for ever, or for more than a minute
            raise ConnectionError(f"nothing answers at {found}")


def _joined(address: str) -> Any:
    check_address(address)
    with _told_when_not_joined(address):
        return ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)


@contextmanager
def _told_when_not_joined(address: str) -> Iterator[None]:
    try:
        yield
    except NOT_JOINED as error:
        raise AsdRayError(
            f"--address {address}: no Ray could be joined ({first_line(error)}); on a cluster run the command on its "
            "head (ray exec cluster.yaml '…'), with the token of ~/.ray/auth_token that the cluster was started with; "
            "leave --address out for a private Ray on this computer"
        ) from error


def _address_of_auto() -> str:
    """What Ray would take for it: $RAY_ADDRESS, the file that the last `ray start` left here, or a Ray that runs."""
    with contextlib.suppress(ImportError, AttributeError, TypeError):  # there is no public way
        from ray._private import services

        return str(services.get_ray_address_from_environment("auto", None))
    return "auto"


def first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
