"""Tune's searcher: it hands out the trials that the search chooses, and reports to the search how they ended."""

from __future__ import annotations

from typing import Any

from asd_ray.families import Resources
from asd_ray.tuning.events import Outcome
from asd_ray.tuning.on_ray._ray import Searcher
from asd_ray.tuning.on_ray.cluster import Cluster
from asd_ray.tuning.running import RunningTrial
from asd_ray.tuning.search import Search

REST = 600.0  # seconds for which a node that could not run a trial gets no other


class NotInSnapshots:
    """Tune pickles its searcher, scheduler and callbacks into a snapshot, which is never read here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TuneSearcher(NotInSnapshots, Searcher):
    """Hands out the search's next trial whenever one fits next to those that run."""

    def __init__(self, search: Search, cluster: Cluster, limit: float | None = None) -> None:
        super().__init__()
        self._search, self._cluster, self._limit = search, cluster, limit
        self.running: dict[str, RunningTrial] = {}  # Tune's trial id -> a trial that Tune has

    def suggest(self, trial_id: str) -> Any:
        requests = {study.resources for study in self._search.studies}  # many studies, few different requests
        fits = {request: self._fits(request) for request in requests}
        run = self._search.next(lambda study: fits[study.resources])
        if run is None:
            return Searcher.FINISHED if self._search.over else None
        self.running[trial_id] = run
        avoid = self._cluster.resting(run.spec.resources)
        return {
            "name": run.spec.name,
            "spec": run.spec.to_dict(),
            "avoid": avoid,
            "faults": list(run.faults),
            "keep_from": self._search.keeps_from(run),
        }

    def _fits(self, request: Resources) -> bool:
        """Whether a trial of this request fits next to the trials that run."""
        resting = self._cluster.resting(request)
        others = [run.spec.resources for run in self.running.values() if run.node_id not in resting]
        return self._cluster.capacity_for(request).covers(sum(others, request))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if trial_id in self.running:
            self.running[trial_id].node_id = result.get("node", "")

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        run = self.running.pop(trial_id, None)
        if run is None:
            return
        event = (result or {}).get("event")
        if isinstance(event, Outcome):
            if event.node_fault:
                self._cluster.rest(run.node_id, REST)
            self._search.finished(run, event, self._losses_by_nodes(run) if event.node_fault else 0)
        elif run.is_stopped:
            self._search.pruned(run)
        else:  # a worker catches every exception of a trial, so this worker is gone
            hung = self._limit is not None and run.training_seconds > self._limit
            hung = hung and not self._cluster.is_gone(run.node_id)
            self._search.lost(run, self._losses_by_nodes(run), f"{self._limit:g} s" if hung else "")

    def _losses_by_nodes(self, run: RunningTrial) -> int:
        """How often the trial was lost because of its node, this time included.

        The node is the cause if it is gone or rests, or if the trial has reported nothing, since its code did not run.
        """
        resting = self._cluster.resting(run.spec.resources)
        nodes = (*run.lost_on, run.node_id)
        return sum(not node or self._cluster.is_gone(node) or node in resting for node in nodes)

    def withdraw(self, trial_id: str, config: dict[str, Any]) -> bool:
        """Take back a trial that waits for resources. Returns whether it was taken back.

        It is taken back if the search starts no more trials, or if a node that it should avoid no longer rests.
        """
        run = self.running.get(trial_id)
        if run is None:
            return False
        stopping = bool(self._search.stopping)
        if not stopping and set(config["avoid"]) <= set(self._cluster.resting(run.spec.resources)):
            return False
        del self.running[trial_id]
        self._search.withdraw(run, again=not stopping)
        return True

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file, which Tune requires and nothing reads."""
        with open(checkpoint_path, "wb"):
            pass
