"""Train trials again on Ray: one task per trial, with the resources of its family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.families import Family
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.faults import reason
from asd_ray.tuning.on_ray._ray import ray
from asd_ray.tuning.on_ray.cluster import GIB, Cluster, ray_at
from asd_ray.tuning.on_ray.worker import trial_device
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.trial import Learned, learn_again

RETRIES = 1  # of a task whose worker or node was lost


def train_on_ray(
    jobs: Mapping[str, tuple[TrialSpec, Family]], source: DataSource, address: str
) -> Iterator[tuple[str, Learned]]:
    """Trial -> its state and scores, in the order in which they are done."""
    with ray_at(address, dashboard=False):
        cluster = Cluster(address)
        has_gpu = cluster.capacity.gpu > 0
        task: Any = ray.remote(_train)
        trials = {}  # Ray's reference to a future result -> trial
        for trial, (spec, family) in jobs.items():
            wanted = spec.resources if has_gpu else replace(spec.resources, gpu=0)
            if not any(node.covers(wanted) for node in cluster.nodes) and cluster.most is None:
                raise AsdRayError(
                    f"{spec.name} asks for {wanted}, but no node of this Ray has that: {cluster.description()}; train "
                    "it in this process with --serial"
                )
            request = task.options(
                num_cpus=wanted.cpu,
                num_gpus=wanted.gpu,
                memory=int(wanted.memory * GIB) or None,
                max_retries=RETRIES,
            )
            trials[request.remote(spec, family, source)] = trial
        left = list(trials)
        while left:
            done, left = ray.wait(left)
            for reference in done:
                try:
                    yield trials[reference], ray.get(reference)
                except ray.exceptions.RayError as error:
                    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
                    name = jobs[trials[reference]][0].name
                    raise AsdRayError(f"{name} could not be trained again: {reason(cause)}") from error


def _train(spec: TrialSpec, family: Family, source: DataSource) -> Learned:
    return learn_again(spec, family, source, trial_device())
