"""The application of Ray Serve: one deployment, whose replicas hold all bundles of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from asd_ray.deploy.bundle import Bundle
from asd_ray.deploy.result import on_every_channel
from asd_ray.deploy.serve._serve import JSONResponse, Request, ray, serve
from asd_ray.deploy.serve.answers import Answers
from asd_ray.deploy.serve.batches import BatchedBundle
from asd_ray.deploy.serve.config import ServeConfig
from asd_ray.deploy.serve.token import read_token

DEPLOYMENT = "scorer"  # its name in Serve's configuration file
ONGOING = 32  # requests that one replica holds at once: two batches
QUEUED = 128  # requests that wait for a replica; Serve answers the next with 503


class Replica:
    """One process that scores. It loads the bundles when it starts, onto its GPU if it was given one."""

    def __init__(self, args: Mapping[str, Any]) -> None:
        config = ServeConfig.from_args(args)
        device = "cuda" if ray.get_gpu_ids() else "cpu"
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
        torch.set_num_threads(max(1, int(cpus)))
        bundles = {name: Bundle.load(path, device=device) for name, path in config.bundles.items()}
        if config.false_alarms is not None:
            bundles = {name: bundle.with_false_alarms(config.false_alarms) for name, bundle in bundles.items()}
        for bundle in bundles.values():
            _warm_up(bundle)
        pool = ThreadPoolExecutor(1)
        self._answers = Answers(
            {name: BatchedBundle(bundle, pool) for name, bundle in bundles.items()},
            token=read_token() if config.token else None,
            most_bytes=int(config.max_megabytes * 1e6),
            most_seconds=config.max_minutes * 60,
        )

    async def __call__(self, request: Request) -> JSONResponse:
        return await self._answers.to(request)


def _warm_up(bundle: Bundle) -> None:
    """Score noise once: the first request is then as quick as others, and a bundle that fails does so now."""
    noise = np.random.default_rng(0).normal(0, 1000, round(bundle.seconds * bundle.rate))
    bundle.score_waves([on_every_channel(noise.astype(np.int16), bundle)])


def build(config: ServeConfig, *, replicas: int = 1, cpus: float = 1.0, gpus: float = 0.0) -> serve.Application:
    """The application with so many replicas; `cpus` and `gpus` are those of each, such as 0.25 of a GPU."""
    deployment = serve.deployment(
        name=DEPLOYMENT,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        max_ongoing_requests=ONGOING,
        max_queued_requests=QUEUED,
        graceful_shutdown_wait_loop_s=0.2,
    )
    return deployment(Replica).bind(config.to_args())


def application(args: dict[str, Any]) -> serve.Application:
    """What Serve's configuration file names as its ``import_path`` and calls with its ``args``."""
    return build(ServeConfig.from_args(args))
