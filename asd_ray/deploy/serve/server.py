"""Serve bundles for as long as a block of a program lasts, on the Ray that it has joined."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asd_ray.deploy.serve._serve import ray, serve
from asd_ray.deploy.serve.config import ServeConfig
from asd_ray.deploy.serve.replica import build
from asd_ray.deploy.serve.token import is_loopback
from asd_ray.errors import AsdRayError

NAME = "asd_ray"  # of the application
HOST, PORT = "127.0.0.1", 8000
TIMEOUT = 300.0  # seconds for one request, its upload included
QUIET = {"log_level": "WARNING", "enable_access_log": False}


@contextmanager
def serving(
    config: ServeConfig,
    *,
    host: str = HOST,
    port: int = PORT,
    replicas: int = 1,
    cpus: float = 1.0,
    gpus: float = 0.0,
    ray_ends: bool = False,
) -> Iterator[str]:
    """Serve bundles for as long as the block lasts. Yields the server's address when it answers.

    Call `ray.init` before. `cpus` and `gpus` are those of each replica. With `ray_ends`, the caller ends Ray right
    after the block, and Serve ends with it.
    """
    if not (config.token or is_loopback(host)):
        raise AsdRayError(f"other computers can reach {host}, so requests must need the token: token=True, or {HOST}")
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if serve.status().proxies:
        raise AsdRayError(
            "Ray Serve runs on this Ray already, with an address and applications of its own; add the bundles to its "
            "configuration file as in serve.yaml, or end it with: serve shutdown"
        )
    try:
        with _explained():
            http: dict[str, Any] = {"host": host, "port": port, "request_timeout_s": TIMEOUT}
            serve.start(proxy_location="HeadOnly", http_options=http, logging_config=QUIET)
            application = build(config, replicas=replicas, cpus=cpus, gpus=gpus)
            serve.run(application, name=NAME, route_prefix="/", logging_config=QUIET)
        yield address(host, port)
    finally:
        serve.delete(NAME)  # requests that are being answered are finished
        if not ray_ends:
            serve.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        app = serve.status().applications.get(NAME)
        reasons = [each.message for each in app.deployments.values() if each.message] if app else []
        why = " ".join([*reasons, str(error)][0].split())
        raise AsdRayError(
            f"the server did not start: {why[-600:]}; the files in /tmp/ray/session_latest/logs/serve have the details"
        ) from error


def address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_port(host: str, port: int) -> None:
    """Raise if this computer cannot listen there. Call it before Ray is started, which takes seconds."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            tried.bind(place)
    except OSError as error:
        raise AsdRayError(
            f"{host} port {port}: cannot listen there ({error.strerror}); name another --port or --host"
        ) from error


def check_resources(replicas: int, cpus: float, gpus: float) -> None:
    """Raise if the Ray that this process has joined is too small. A cluster that grows by itself needs no check."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    check_fit(replicas, cpus, gpus, total_cpus=there.get("CPU", 0.0), total_gpus=there.get("GPU", 0.0))


def check_fit(replicas: int, cpus: float, gpus: float, *, total_cpus: float, total_gpus: float) -> None:
    """Raise if so many replicas could never run at once. A share of a GPU is always one of a single GPU."""
    most_by_gpu = math.floor(1 / gpus + 1e-6) * total_gpus if 0 < gpus < 1 else total_gpus / (gpus or 1)
    for kind, each, total, fits, option in (
        ("CPU", cpus, total_cpus, replicas * cpus <= total_cpus + 1e-6, "--cpus-per-replica"),
        ("GPU", gpus, total_gpus, not gpus or replicas <= math.floor(most_by_gpu), "--gpus-per-replica"),
    ):
        if not fits:
            raise AsdRayError(
                f"{replicas} replica{'s' * (replicas != 1)} with {each:g} {kind} each do not fit where Ray has "
                f"{total:g}; ask for less with --replicas or {option}"
            )
