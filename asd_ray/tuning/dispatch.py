"""The run on Ray: Tune runs the trials of a `Search` in reused actors; Optuna is asked and told by the search alone."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.search import Search
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import Study
from asd_ray.tuning.trial import Outcome, Reached, run_trial

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # read when ray.tune is imported
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # five files a trial; the ledger holds all of it
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C is `search.interruptible`'s
os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1000000"  # Tune's own snapshot is never used: the ledger is the truth
os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"
os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "64"  # the search itself starts no more than fit
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

OBJECTS = 256 << 20  # bytes of Ray's object store: the clip table is all that travels


class TrialWorker(tune.Trainable):
    """A reused actor that serves one trial after another.

    In the dashboard its repr is the name of its first trial, since Ray tells an actor's repr once; its process title
    and its log prefix follow the trial that it serves.
    """

    def setup(self, config: dict[str, Any], source: DataSource | None = None, ledger: Ledger | None = None) -> None:
        assert source is not None
        assert ledger is not None
        self._source, self._ledger = source, ledger
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
        return tune.PlacementGroupFactory([{"CPU": spec["cpu"], **({"GPU": spec["gpu"]} if spec["gpu"] else {})}])

    def _begin(self, config: dict[str, Any]) -> None:
        self._spec = TrialSpec.from_dict(config["spec"])
        print(f":actor_name:{self._spec.name}", flush=True)  # Ray's log monitor takes the prefix of lines from this
        self._trial = run_trial(self._spec, self._source, self._ledger, _given_device())

    def __repr__(self) -> str:
        return self._spec.name

    def step(self) -> dict[str, Any]:
        assert self._trial is not None
        with contextlib.suppress(ImportError):
            from ray._raylet import setproctitle  # type: ignore[attr-defined]

            # what ps, top and the dashboard's list of workers show
            setproctitle(f"ray::{self._spec.name}")
        event = next(self._trial)
        return {"event": event, "done": isinstance(event, Outcome)}

    def cleanup(self) -> None:
        if self._trial is not None:
            self._trial.close()
        self._trial = None


def _given_device() -> torch.device:
    """What Ray gave this trial: never cuda.is_available(), which is true for a trial without a GPU as well."""
    return torch.device("cuda", 0) if ray.get_gpu_ids() else torch.device("cpu")


class _NotInSnapshots:
    """Tune pickles its searcher, scheduler and callbacks into a snapshot that nothing here ever reads."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Asker(_NotInSnapshots, Searcher):
    """Tune's searcher: hands out what the search says comes next, as long as it fits beside what runs."""

    def __init__(self, search: Search, cpus: float, gpus: float) -> None:
        super().__init__()
        self._search, self._cpus, self._gpus = search, cpus, gpus
        self.specs: dict[str, TrialSpec] = {}  # Tune's trial id -> the trial
        self.stopped: set[str] = set()  # Tune's ids of trials that were told to stop

    def suggest(self, trial_id: str) -> Any:
        spec = self._search.next(self._fits)
        if spec is None:
            return Searcher.FINISHED if self._search.over else None
        self.specs[trial_id] = spec
        return {"name": spec.name, "spec": spec.to_dict()}

    def _fits(self, study: Study) -> bool:
        running = [run.spec for run in self._search.running.values()]
        free_cpu = self._cpus - sum(spec.cpu for spec in running)
        free_gpu = self._gpus - sum(spec.gpu for spec in running)
        return free_cpu >= study.share.cpu - 1e-6 and free_gpu >= study.share.gpu - 1e-6

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        spec = self.specs.pop(trial_id, None)
        if spec is None:
            return
        event = (result or {}).get("event")
        if isinstance(event, Outcome):
            self._search.finished(spec, event)
        elif trial_id in self.stopped:
            self._search.pruned(spec)
        else:  # every exception of a trial is caught in its worker, so this is a worker that is gone
            self._search.lost(spec)
        self.stopped.discard(trial_id)

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


class _Ticker(_NotInSnapshots, tune.Callback):
    """Gives the live table its turn."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._turn()


@contextmanager
def ray_started(*, cpus: int | None = None, dashboard: bool = True) -> Iterator[str]:
    """A private Ray on this computer for as long as the block lasts; gives the dashboard's address, or ""."""
    context = ray.init(
        address="local",  # never joins a Ray that happens to run here
        num_cpus=cpus,
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECTS,
        configure_logging=True,
    )
    try:
        yield str(context.dashboard_url or "")
    finally:
        ray.shutdown()


def cluster() -> tuple[float, float]:
    """CPUs and GPUs of the Ray that is running."""
    has = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return float(has.get("CPU", 0)), float(has.get("GPU", 0))


def check_resources(studies: list[Study]) -> tuple[float, float]:
    """(CPUs, GPUs) of the cluster, or a message at once where a trial could never start."""
    cpus, gpus = cluster()
    for study in studies:
        if study.share.cpu > cpus or study.share.gpu > gpus:
            raise AsdRayError(
                f"a trial of {study.family.name} asks for {study.share.cpu:g} CPU and {study.share.gpu:g} GPU, but "
                f"this Ray has {cpus:g} CPU and {gpus:g} GPU; ask for less with --gpus-per-trial 0 and "
                "--cpus-per-trial 1, or run it where there is a GPU"
            )
    return cpus, gpus


def run_on_ray(search: Search, cpus: float, gpus: float, turn: Callable[[], None] = lambda: None) -> None:
    """Run the search to its end on the Ray that is running; what Ray writes is removed afterwards."""
    asker = Asker(search, cpus, gpus)
    worker = tune.with_parameters(TrialWorker, source=search.source, ledger=search.ledger)
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
                callbacks=[_Ticker(turn)],
            ),
        ).fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.config["name"])
