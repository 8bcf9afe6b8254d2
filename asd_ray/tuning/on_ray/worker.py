"""The worker: a Ray actor that runs one trial after another, with the same code as ``--serial``."""

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
PRETENDED = "ASD_RAY_PRETEND_GPU"  # set by tests and benchmarks that declare GPUs to Ray which do not exist


class TrialWorker(tune.Trainable):
    """A reused actor that runs one trial after another.

    The dashboard shows the name of its first trial, because Ray asks for an actor's repr only once. The title of its
    process and the prefix of its log lines follow the trial that it runs.
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
        gc.freeze()  # later collections skip what was imported: 0.1 s less after each trial
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
        print(f":actor_name:{self._spec.name}", flush=True)  # Ray's log monitor takes the prefix of log lines from this
        self._training_since: float | None = None
        self._trial = run_trial(
            self._spec,
            self._families[self._spec.family],
            self._source,
            self._ledger,
            trial_device(),
            keep_from=config["keep_from"],
            max_wait=self._limits.waiting,
            faults=config["faults"],
        )

    def __repr__(self) -> str:
        return self._spec.name

    def step(self) -> dict[str, Any]:
        assert self._trial is not None
        with contextlib.suppress(ImportError):
            from ray._raylet import setproctitle  # type: ignore[attr-defined]

            setproctitle(f"ray::{self._spec.name}")  # shown by ps, top and the dashboard's list of workers
        with self._watched():
            event = next(self._trial)
        if isinstance(event, DataReady):
            self._training_since = time.monotonic()
        return {"event": event, "done": isinstance(event, Outcome), "node": ray.get_runtime_context().get_node_id()}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """End this process if the block exceeds the trial's time limit.

        The time counts from when the clips are ready. Between two steps a worker waits for the search, and no limit
        applies.
        """
        limit, since = self._limits.trial, self._training_since
        if limit is None or since is None:
            yield
            return
        spec, source, ledger = self._spec, self._source, self._ledger
        left = max(0.0, since + limit - time.monotonic())
        watchdog = Watchdog(left, lambda: store_overdue(spec, source, ledger, limit), self._limits.grace)
        try:
            yield
        finally:
            watchdog.cancel()

    def cleanup(self) -> None:
        if self._trial is not None:
            self._trial.close()
        self._trial = None


def trial_device() -> torch.device:
    """The device that Ray gave this trial. cuda.is_available() would be true for a trial without a GPU as well."""
    return torch.device("cuda", 0) if ray.get_gpu_ids() and PRETENDED not in os.environ else torch.device("cpu")
