"""One call that runs a `Search` on Ray. Tune runs the trials in reused actors; only the search talks to Optuna."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from asd_ray.tuning.on_ray._ray import TrialProgressCallback, tune
from asd_ray.tuning.on_ray.cluster import Cluster
from asd_ray.tuning.on_ray.scheduler import TuneScheduler
from asd_ray.tuning.on_ray.searcher import NotInSnapshots, TuneSearcher
from asd_ray.tuning.on_ray.time_limit import TimeLimits
from asd_ray.tuning.on_ray.worker import TrialWorker
from asd_ray.tuning.search import Search


def run_on_ray(search: Search, cluster: Cluster, limits: TimeLimits | None = None) -> None:
    """Run the search to its end on the Ray that is running. The files that Tune writes are removed afterwards."""
    limits = TimeLimits() if limits is None else limits
    searcher = TuneSearcher(search, cluster, limits.trial)
    families = {study.family.name: study.family for study in search.studies}
    worker = tune.with_parameters(
        TrialWorker, source=search.source, ledger=search.ledger, families=families, limits=limits
    )
    worker.__qualname__ = TrialWorker.__qualname__  # the name of its class in the dashboard
    folder = tempfile.mkdtemp(prefix="asd_ray_tune_")
    try:
        tune.Tuner(
            worker,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=TuneScheduler(search, searcher),
                num_samples=-1,  # the searcher ends the run
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),  # the search itself hands out a lost trial again
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[_TuneCallback(search)],
            ),
        ).fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.config["name"])


class _TuneCallback(NotInSnapshots, TrialProgressCallback):
    """Calls the search at every step. It replaces Tune's own callback, which prints and keeps every trial."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def log_result(self, trial: Any, result: dict[str, Any], error: bool = False) -> None:
        """Do nothing: the search notifies its own watchers."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Do nothing, as above."""

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._search.turn()
