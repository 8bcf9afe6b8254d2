"""The worker: a Ray actor that runs one trial after another, with the code that ``--serial`` uses as well."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from asd_ray.families import Family
from asd_ray.ledger import Ledger
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.events import DataReady, Outcome, ProgressEvent
from asd_ray.tuning.on_ray._ray import ray, tune
from asd_ray.tuning.on_ray.cluster import GIB
from asd_ray.tuning.on_ray.time_limit import TimeLimits, Watchdog
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.trial import run_trial, store_overdue

NODE_ID = "ray.io/node-id"  # the label that Ray gives every node
PRETENDED = "ASD_RAY_PRETEND_GPU"  # for tests and benchmarks of dispatch: GPUs that are declared and not there


class TrialWorker(tune.Trainable):
    """A reused actor that serves one trial after another.

    In the dashboard its repr is the name of its first trial, since Ray tells an actor's repr once; its process title
    and its log prefix follow the trial that it serves.
    """

    def setup(
        self,
        config: dict[str, Any],
        source: DataSource | None = None,
        ledger: Ledger | None = None,
        families: Mapping[str, Family] | None = None,
        limits: TimeLimits | None = None,
    ) -> None:
        assert source is not None
        assert ledger is not None
        assert families is not None
        assert limits is not None
        self._source, self._ledger, self._families, self._limits = source, ledger, families, limits
        gc.freeze()  # what was imported is here to stay: collecting after each trial then takes no tenth of a second
        self._trial: Generator[ProgressEvent | Outcome, None, None] | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._begin(new_config)
        return True

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        resources = TrialSpec.from_dict(config["spec"]).resources
        amounts = {"CPU": resources.cpu, "GPU": resources.gpu, "memory": int(resources.memory * GIB)}
        where: dict[str, Any] = {}
        if config["avoid"]:
            where["bundle_label_selector"] = [{NODE_ID: f"!in({','.join(config['avoid'])})"}]
        return tune.PlacementGroupFactory([{name: amount for name, amount in amounts.items() if amount}], **where)

    def _begin(self, config: dict[str, Any]) -> None:
        self._spec = TrialSpec.from_dict(config["spec"])
        print(f":actor_name:{self._spec.name}", flush=True)  # Ray's log monitor takes the prefix of lines from this
        self._since: float | None = None  # when its clips were at hand
        self._trial = run_trial(
            self._spec,
            self._families[self._spec.family],
            self._source,
            self._ledger,
            _device(),
            max_wait=self._limits.waiting,
            faults=config["faults"],
        )

    def __repr__(self) -> str:
        return self._spec.name

    def step(self) -> dict[str, Any]:
        assert self._trial is not None
        with contextlib.suppress(ImportError):
            from ray._raylet import setproctitle  # type: ignore[attr-defined]

            # what ps, top and the dashboard's list of workers show
            setproctitle(f"ray::{self._spec.name}")
        with self._watched():
            event = next(self._trial)
        if isinstance(event, DataReady):
            self._since = time.monotonic()
        return {"event": event, "done": isinstance(event, Outcome), "node": ray.get_runtime_context().get_node_id()}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """No longer than the trial's limit allows; a worker that waits for the search's word is not watched."""
        limit, since = self._limits.trial, self._since
        if limit is None or since is None:
            yield
            return
        told = (self._spec, self._source, self._ledger, limit)
        left = max(0.0, since + limit - time.monotonic())
        dog = Watchdog(left, lambda: store_overdue(*told), self._limits.grace)
        try:
            yield
        finally:
            dog.call_off()

    def cleanup(self) -> None:
        if self._trial is not None:
            self._trial.close()
        self._trial = None


def _device() -> torch.device:
    """What Ray gave this trial: never cuda.is_available(), which is true for a trial without a GPU as well."""
    return torch.device("cuda", 0) if ray.get_gpu_ids() and PRETENDED not in os.environ else torch.device("cpu")
