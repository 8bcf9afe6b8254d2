"""Tune's scheduler: it stops trials at rungs, and takes back trials that wait for resources."""

from __future__ import annotations

from typing import Any

from asd_ray.tuning.events import ProgressEvent
from asd_ray.tuning.on_ray._ray import FIFOScheduler, TrialScheduler
from asd_ray.tuning.on_ray.searcher import NotInSnapshots, TuneSearcher
from asd_ray.tuning.search import Search

KEPT = 64  # trials that Tune may hold before the ended ones are removed


class TuneScheduler(NotInSnapshots, FIFOScheduler):
    """Asks the search at every rung whether the trial continues."""

    def __init__(self, search: Search, searcher: TuneSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search, self._searcher = search, searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        run, event = self._searcher.running.get(trial.trial_id), result.get("event")
        if run is not None and isinstance(event, ProgressEvent) and self._search.progressed(run, event):
            run.is_stopped = True
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        _forget_ended_trials(tune_controller)
        for trial in [trial for trial in tune_controller.get_live_trials() if trial.status == "PENDING"]:
            if self._searcher.withdraw(trial.trial_id, trial.config):
                tune_controller.stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)


def _forget_ended_trials(controller: Any) -> None:
    """Remove ended trials from Tune, which keeps some 20 kB of each and looks through all of them again and again."""
    trials = controller.get_trials()
    if len(trials) > KEPT:
        trials[:] = [trial for trial in trials[:-1] if not trial.is_finished()] + trials[-1:]
        own = getattr(controller, "_tune_controller", controller)
        for name in ("_stopped_trials", "_failed_trials", "_trials_to_cache"):  # private: a Ray may lack one
            getattr(own, name, set()).clear()
