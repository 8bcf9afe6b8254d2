"""The run on Ray: Tune runs the trials of a `Search` in reused actors; Optuna is asked and told by the search alone."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from asd_ray.families import Family
from asd_ray.ledger import Ledger
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.on_ray._ray import FIFOScheduler, Searcher, TrialProgressCallback, TrialScheduler, ray, tune
from asd_ray.tuning.on_ray.cluster import GIB, Cluster, Room
from asd_ray.tuning.on_ray.time_limit import GRACE, Watchdog
from asd_ray.tuning.search import Search
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import Share
from asd_ray.tuning.trial import Outcome, Reached, over_time, run_trial

NODE_ID = "ray.io/node-id"  # the label that Ray gives every node
REST = 600.0  # seconds for which a node that could not run a trial is given none
KEPT = 64  # trials that are over
PRETENDED = "ASD_RAY_PRETEND_GPU"  # for tests and benchmarks of dispatch: GPUs that are declared and not there


@dataclass(frozen=True)
class Rules:
    """What holds for every trial of a search on Ray."""

    limit: float | None = None  # seconds that a trial may take
    patience: float = 0.0  # seconds that a node may lack what a trial needs
    grace: float = GRACE  # seconds beyond the limit after which a worker ends itself without a word


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
        rules: Rules | None = None,
    ) -> None:
        assert source is not None
        assert ledger is not None
        assert families is not None
        assert rules is not None
        self._source, self._ledger, self._families, self._rules = source, ledger, families, rules
        gc.freeze()  # what was imported is here to stay: collecting after each trial then takes no tenth of a second
        self._trial: Generator[Reached | Outcome, None, None] | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._begin(new_config)
        return True

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        spec = config["spec"]
        asked = {"CPU": spec["cpu"], "GPU": spec["gpu"], "memory": int(spec["memory"] * GIB)}
        where: dict[str, Any] = {}
        if config["avoid"]:
            where["bundle_label_selector"] = [{NODE_ID: f"!in({','.join(config['avoid'])})"}]
        return tune.PlacementGroupFactory([{name: amount for name, amount in asked.items() if amount}], **where)

    def _begin(self, config: dict[str, Any]) -> None:
        self._spec = TrialSpec.from_dict(config["spec"])
        print(f":actor_name:{self._spec.name}", flush=True)  # Ray's log monitor takes the prefix of lines from this
        self._since: float | None = None  # when its clips were at hand
        self._trial = run_trial(
            self._spec,
            self._families[self._spec.family],
            self._source,
            self._ledger,
            _given_device(),
            patience=self._rules.patience,
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
        if self._since is None and isinstance(event, Reached) and event.clips:
            self._since = time.monotonic()
        return {"event": event, "done": isinstance(event, Outcome), "node": ray.get_runtime_context().get_node_id()}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """No longer than the trial's limit allows; a worker that waits for the search's word is not watched."""
        limit, since = self._rules.limit, self._since
        if limit is None or since is None:
            yield
            return
        told = (self._spec, self._source, self._ledger, limit)
        left = max(0.0, since + limit - time.monotonic())
        dog = Watchdog(left, lambda: over_time(*told), self._rules.grace)
        try:
            yield
        finally:
            dog.call_off()

    def cleanup(self) -> None:
        if self._trial is not None:
            self._trial.close()
        self._trial = None


def _share(spec: TrialSpec) -> Share:
    return Share(spec.cpu, spec.gpu, spec.memory)


def _given_device() -> torch.device:
    """What Ray gave this trial: never cuda.is_available(), which is true for a trial without a GPU as well."""
    return torch.device("cuda", 0) if ray.get_gpu_ids() and PRETENDED not in os.environ else torch.device("cpu")


class _NotInSnapshots:
    """Tune pickles its searcher, scheduler and callbacks into a snapshot that nothing here ever reads."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Asker(_NotInSnapshots, Searcher):
    """Tune's searcher: hands out what the search says comes next, as long as it fits beside what runs."""

    def __init__(self, search: Search, cluster: Cluster, limit: float | None = None) -> None:
        super().__init__()
        self._search, self._cluster, self._limit = search, cluster, limit
        self.specs: dict[str, TrialSpec] = {}  # Tune's trial id -> the trial
        self.stopped: set[str] = set()  # Tune's ids of trials that were told to stop
        self._nodes: dict[str, str] = {}  # Tune's trial id -> Ray's id of the node that it runs on
        self._began: dict[str, float] = {}  # Tune's trial id -> its first sign of life
        self._losses: dict[str, list[str]] = {}  # trial hash -> the nodes that it was lost on, or that could not run it

    def suggest(self, trial_id: str) -> Any:
        shares = {study.share for study in self._search.studies}  # many studies, few shares
        fits = {share: self._fits(share) for share in shares}
        spec = self._search.next(lambda study: fits[study.share])
        if spec is None:
            return Searcher.FINISHED if self._search.over else None
        self.specs[trial_id] = spec
        faults = self._search.running[spec.hash].faults
        avoid = self._cluster.resting(_share(spec))
        return {"name": spec.name, "spec": spec.to_dict(), "avoid": avoid, "faults": list(faults)}

    def _fits(self, share: Share) -> bool:
        room, resting = self._cluster.room_for(share), self._cluster.resting(share)
        running = [spec for trial_id, spec in self.specs.items() if self._nodes.get(trial_id) not in resting]
        cpu, gpu = room.cpu - sum(spec.cpu for spec in running), room.gpu - sum(spec.gpu for spec in running)
        return Room(cpu, gpu, room.memory - sum(spec.memory for spec in running)).takes(share)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._nodes[trial_id] = result.get("node", "")
        event = result.get("event")
        if isinstance(event, Reached) and event.clips:
            self._began.setdefault(trial_id, time.monotonic())

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        spec, node = self.specs.pop(trial_id, None), self._nodes.pop(trial_id, "")
        seconds = time.monotonic() - self._began.pop(trial_id, math.inf)
        if spec is None:
            return
        event = (result or {}).get("event")
        if isinstance(event, Outcome):
            if event.fault:
                self._cluster.rests(node, REST)
            self._search.finished(spec, event, self._by_nodes(spec, node) if event.fault else 0)
        elif trial_id in self.stopped:
            self._search.pruned(spec)
        else:  # every exception of a trial is caught in its worker, so this is a worker that is gone
            hung = self._limit is not None and seconds > self._limit and not self._cluster.gone(node)
            self._search.lost(spec, self._by_nodes(spec, node), f"{self._limit:g} s" if hung else "")
        self.stopped.discard(trial_id)

    def _by_nodes(self, spec: TrialSpec, node: str) -> int:
        """How often a trial, which is lost on this node now, was lost to nodes that are gone or rest."""
        losses = self._losses.setdefault(spec.hash, [])
        losses.append(node)
        resting = self._cluster.resting(_share(spec))
        # without a sign of life the trial's code has not run
        return sum(not each or self._cluster.gone(each) or each in resting for each in losses)

    def withdraw(self, trial_id: str, config: dict[str, Any]) -> bool:
        """Take back a trial that waits for a place: when no more are wanted, or its place may be elsewhere by now."""
        spec = self.specs.get(trial_id)
        stopping = bool(self._search.stopping)
        if spec is None or not (stopping or set(config["avoid"]) - set(self._cluster.resting(_share(spec)))):
            return False
        del self.specs[trial_id]
        self._search.withdraw(spec, again=not stopping)
        return True

    def save(self, checkpoint_path: str) -> None:
        with open(checkpoint_path, "wb"):
            pass  # Tune wants a file


class Stopper(_NotInSnapshots, FIFOScheduler):
    """Tune's scheduler: asks the search whether a trial that reached a rung goes on."""

    def __init__(self, search: Search, asker: Asker) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search, self._asker = search, asker

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        spec, event = self._asker.specs.get(trial.trial_id), result.get("event")
        if spec is not None and isinstance(event, Reached) and self._search.reached(spec, event):
            self._asker.stopped.add(trial.trial_id)
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        _let_go(tune_controller)
        for trial in [trial for trial in tune_controller.get_live_trials() if trial.status == "PENDING"]:
            if self._asker.withdraw(trial.trial_id, trial.config):
                tune_controller.stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)


class _Ticker(_NotInSnapshots, TrialProgressCallback):
    """Gives whoever looks on a turn, in the place of Tune's own callback, which prints and keeps every trial."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def log_result(self, trial: Any, result: dict[str, Any], error: bool = False) -> None:
        """Nothing: the search tells its own watchers."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The same."""

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._search.turn()


def _let_go(controller: Any) -> None:
    """Tune keeps every trial to the end, some 20 kB each, and walks through them again and again."""
    trials = controller.get_trials()
    if len(trials) > KEPT:
        trials[:] = [trial for trial in trials[:-1] if not trial.is_finished()] + trials[-1:]
        own = getattr(controller, "_tune_controller", controller)
        for name in (
            "_stopped_trials",
            "_failed_trials",
            "_trials_to_cache",
        ):  # no public way; without them it only keeps more
            getattr(own, name, set()).clear()


def run_on_ray(search: Search, cluster: Cluster, rules: Rules | None = None) -> None:
    """Run the search to its end on the Ray that is running; what Ray writes is removed afterwards."""
    rules = Rules() if rules is None else rules
    asker = Asker(search, cluster, rules.limit)
    families = {study.family.name: study.family for study in search.studies}
    worker = tune.with_parameters(
        TrialWorker, source=search.source, ledger=search.ledger, families=families, rules=rules
    )
    worker.__qualname__ = TrialWorker.__qualname__  # as the dashboard calls its class
    folder = tempfile.mkdtemp(prefix="asd_ray_tune_")
    try:
        tune.Tuner(
            worker,
            tune_config=tune.TuneConfig(
                search_alg=asker,
                scheduler=Stopper(search, asker),
                num_samples=-1,  # the searcher says when it is over
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),  # a lost trial is asked for again by the search
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[_Ticker(search)],
            ),
        ).fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.config["name"])
