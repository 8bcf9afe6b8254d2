"""Which replicas fit into which Ray; GPUs are numbers here, because most computers of developers have none."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from asd_ray.deploy.serve.server import check_fit
from asd_ray.errors import AsdRayError


@pytest.mark.parametrize(
    ("replicas", "cpus", "gpus", "total_cpus", "total_gpus", "problem"),
    [
        (2, 1, 0, 2, 0, None),
        (3, 0.5, 0, 2, 0, None),
        (10, 0.1, 0, 1, 0, None),
        (4, 1, 0.25, 16, 1, None),
        (3, 1, 1, 16, 4, None),
        (2, 1, 2, 16, 4, None),
        (3, 1, 0, 2, 0, "3 replicas with 1 CPU each do not fit where Ray has 2;.*--cpus-per-replica"),
        (1, 1, 0.25, 16, 0, "1 replica with 0.25 GPU each do not fit where Ray has 0;.*--gpus-per-replica"),
        (5, 1, 0.25, 16, 1, "5 replicas with 0.25 GPU"),
        (3, 1, 0.6, 16, 2, "3 replicas with 0.6 GPU each do not fit where Ray has 2"),
        (3, 1, 2, 16, 4, "3 replicas with 2 GPU"),
    ],
)
def test_replicas_fit_or_the_message_names_the_option(
    replicas: int, cpus: float, gpus: float, total_cpus: float, total_gpus: float, problem: str | None
) -> None:
    with pytest.raises(AsdRayError, match=problem) if problem else nullcontext():
        check_fit(replicas, cpus, gpus, total_cpus=total_cpus, total_gpus=total_gpus)
