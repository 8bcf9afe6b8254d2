"""The metrics of a search, for Prometheus through Ray: the best score, what runs, how fast. dashboards/ shows them.

Ray puts ``ray_`` before every name and ``_total`` after the name of a counter: ``ray_asd_ray_best_hmean``. Each node
serves them at ``/metrics`` of its MetricsExportPort, with or without Ray's dashboard, ten seconds after they are set.
"""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections import deque
from typing import TYPE_CHECKING

from asd_ray.families import Resources
from asd_ray.ledger.record import LABELS
from asd_ray.tuning.events import EpochsDone, ProgressEvent
from asd_ray.tuning.on_ray._ray import metrics
from asd_ray.tuning.spec import group_name
from asd_ray.tuning.watch._base import SearchView, Watcher

if TYPE_CHECKING:
    from asd_ray.tuning.on_ray.cluster import Cluster
    from asd_ray.tuning.running import RunningTrial
    from asd_ray.tuning.study import Study

EVERY = 5.0  # seconds between two updates of the gauges: Ray exports every ten, and drops values older than twenty
WINDOW = 60.0  # seconds over which clips a second are counted
STATES = ("complete", "pruned", "failed")

# No tag has the name of a trial: Prometheus keeps one series for every value that a tag has ever had.
RUN = ("run",)
STUDY = ("run", "machine", "family")
BEST = "asd_ray_best_hmean", "Best objective, the harmonic mean of AUC and pAUC, of the complete trials", STUDY
ON_FAULTS = "asd_ray_best_on_faults", "Best value on injected faults of the complete trials, without labels", STUDY
TRIALS = "asd_ray_trials", "Trials: complete, pruned, failed, running, and missing to what was asked", (*STUDY, "state")
CLIPS_PER_SECOND = "asd_ray_clips_per_second", "Clips learned a second, over the last minute", RUN
BUSY = "asd_ray_busy_share", "Share of the cluster's CPU and GPU slots that trials hold", (*RUN, "resource")
EPOCHS = "asd_ray_epochs", "Epochs trained by this command", STUDY
CLIPS = "asd_ray_clips_learned", "Clips learned by this command: of every epoch, the clips it learns from", STUDY


class PrometheusMetrics(Watcher):
    """Updates the metrics of a search. The process must have joined a Ray, so not with ``--serial``.

    The busy share counts the slots that trials have, not their load, for which Ray has its own metrics. Above 1 it
    means that trials wait for a node: the node was lost, or the autoscaler is starting it.
    """

    def __init__(self, run: str, cluster: Cluster) -> None:
        self._run, self._cluster = run, cluster
        self._best, self._trials = metrics.Gauge(*BEST), metrics.Gauge(*TRIALS)
        self._on_faults = metrics.Gauge(*ON_FAULTS)
        self._clips_per_second, self._busy = metrics.Gauge(*CLIPS_PER_SECOND), metrics.Gauge(*BUSY)
        self._epochs, self._clips = metrics.Counter(*EPOCHS), metrics.Counter(*CLIPS)
        self._learned: deque[tuple[float, int]] = deque()  # (when, clips) within the window
        self._began = time.monotonic()
        self._updated = -EVERY

    def progressed(self, run: RunningTrial, event: ProgressEvent) -> None:
        if not isinstance(event, EpochsDone):
            return
        clips = event.clips * len(event.losses)
        self._epochs.inc(len(event.losses), self._of(run.study))
        if clips:
            self._clips.inc(clips, self._of(run.study))
            self._learned.append((time.monotonic(), clips))

    def turn(self, search: SearchView) -> None:
        if time.monotonic() - self._updated >= EVERY:
            self._update_gauges(search)

    def close(self, search: SearchView) -> None:
        """A cluster that goes on after the search shows its last values for some twenty seconds more."""
        self._update_gauges(search)

    def _update_gauges(self, search: SearchView) -> None:
        self._updated = now = time.monotonic()
        running = list(search.running.values())
        running_of = Counts(run.study.name for run in running)
        for study in search.studies:
            states = {state: study.count(state) for state in STATES}
            states |= {"running": running_of[study.name], "missing": study.missing}
            for state, count in states.items():
                self._trials.set(count, {**self._of(study), "state": state})
            if (best := study.best) is not None:
                gauge = self._best if study.settings.objective == LABELS else self._on_faults
                gauge.set(best.objective, self._of(study))
        while self._learned and self._learned[0][0] < now - WINDOW:
            self._learned.popleft()
        seconds = min(WINDOW, now - self._began)
        self._clips_per_second.set(sum(clips for _, clips in self._learned) / max(seconds, 1.0), {"run": self._run})
        used = sum((run.spec.resources for run in running), Resources(0.0, 0.0))
        there = self._cluster.now
        for name, amount, total in (("CPU", used.cpu, there.cpu), ("GPU", used.gpu, there.gpu)):
            self._busy.set(amount / total if total else 0.0, {"run": self._run, "resource": name})

    def _of(self, study: Study) -> dict[str, str]:
        return {"run": self._run, "machine": group_name(study.machines), "family": study.family.name}
