"""Tune's searcher: it hands out the trials that the search chooses, and reports to the search how they ended."""

from __future__ import annotations

import math
import time
from typing import Any

from asd_ray.tuning.events import DataReady, Outcome
from asd_ray.tuning.on_ray._ray import Searcher
from asd_ray.tuning.on_ray.cluster import Cluster, Room
from asd_ray.tuning.search import Search
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import Share

REST = 600.0  # seconds for which a node that could not run a trial is given none


class NotInSnapshots:
    """Tune pickles its searcher, scheduler and callbacks into a snapshot that nothing here ever reads."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TuneSearcher(NotInSnapshots, Searcher):
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
        if isinstance(result.get("event"), DataReady):
            self._began[trial_id] = time.monotonic()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        spec, node = self.specs.pop(trial_id, None), self._nodes.pop(trial_id, "")
        seconds = time.monotonic() - self._began.pop(trial_id, math.inf)
        if spec is None:
            return
        event = (result or {}).get("event")
        if isinstance(event, Outcome):
            if event.node_fault:
                self._cluster.rests(node, REST)
            self._search.finished(spec, event, self._by_nodes(spec, node) if event.node_fault else 0)
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


def _share(spec: TrialSpec) -> Share:
    return Share(spec.cpu, spec.gpu, spec.memory)
