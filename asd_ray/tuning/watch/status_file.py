"""What a search tells of itself while it runs: one file of each search, in the run's folder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asd_ray.errors import AsdRayError
from asd_ray.storage.heartbeat import BeatingFile, new_driver, read_beats, store_clock
from asd_ray.storage.open_files import open_files
from asd_ray.storage.run_layout import RunLayout
from asd_ray.tuning.watch._base import SearchView, Watcher

if TYPE_CHECKING:
    from asd_ray.ledger import TrialRecord
    from asd_ray.tuning.running import RunningTrial
    from asd_ray.tuning.study import Study

FAILURES = 5  # the last ones are told
TOLD = 300  # characters of an error


class StatusFile(Watcher):
    """Keeps the file that `asd-ray search --status` reads; a disk or S3 that refuses it, or is slow, stops no search.

    `slots` is how many trials can run at once, `cluster` what Ray has, such as ``{"nodes": 3, "CPU": 48, "GPU": 8}``.
    """

    def __init__(
        self,
        layout: RunLayout,
        *,
        command: str,
        slots: Callable[[], float] = lambda: 0.0,
        cluster: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._layout, self._files = layout, open_files(layout)
        self._command, self._slots, self._cluster = command, slots, cluster
        self._file = BeatingFile(self._files, layout.status_file(new_driver()), self._content, self._clear_away)
        self._began = self._turned = time.monotonic()
        self._told: dict[str, Any] | None = None
        self._taken = 0.0
        self._again: dict[str, int] = {}
        self._failures: deque[dict[str, str]] = deque(maxlen=FAILURES)

    def retried(self, run: RunningTrial, why: str) -> None:
        self._again[why] = self._again.get(why, 0) + 1

    def ended(self, run: RunningTrial, record: TrialRecord) -> None:
        if record.status == "failed":
            self._failures.append({"trial": record.name, "error": record.error[:TOLD]})

    def turn(self, search: SearchView) -> None:
        self._turned = time.monotonic()
        if self._told is not None and self._turned - self._taken < self._file.every:
            return
        self._taken = self._turned
        self._told = self._seen(search)
        self._file.start()
        self._file.soon()

    def close(self, search: SearchView) -> None:
        self._file.close()

    def _clear_away(self) -> None:
        """Files of searches that were killed: this command goes on in their place."""
        try:
            now = store_clock(self._files, self._layout.status)
            for beat in read_beats(self._files, self._files.list(self._layout.status), now):
                if not beat.alive:
                    self._files.remove(beat.path)
        except AsdRayError:
            pass  # the first beat will say what is wrong

    def _content(self) -> dict[str, Any]:
        """Called by the thread: only what `turn` has left for it."""
        now = time.monotonic()
        return {
            "command": self._command,
            "seconds": round(now - self._began, 1),
            "turned": round(now - self._turned, 1),  # seconds since the search itself gave a sign of life
            **(self._told or {}),
        }

    def _seen(self, search: SearchView) -> dict[str, Any]:
        slots, now = self._slots(), time.monotonic()
        return {
            "slots": slots,
            "cluster": self._cluster(),
            "ended": search.ended,
            "stopping": search.stopping,
            "error": search.error[:TOLD],
            "again": dict(self._again),
            "failures": list(self._failures),
            "studies": [_study(search, study, slots) for study in search.studies],
            "running": [
                {
                    "trial": run.spec.name,
                    "node": run.node,
                    "epoch": run.epoch,
                    "epochs": run.spec.epochs,
                    "seconds": round(now - run.started, 1),
                }
                for run in search.running.values()
            ],
        }


def _study(search: SearchView, study: Study, slots: float) -> dict[str, Any]:
    best = study.best
    return {
        "study": study.name,
        "seed": study.seed,
        "wanted": study.wanted,
        "done": study.count(),
        "pruned": study.count("pruned"),
        "failed": study.count("failed"),
        "running": study.running,
        "exhausted": study.exhausted,
        "best": None if best is None else [best.objective, best.variant, best.name],
        "left": seconds_left(search, study, slots),
    }


def seconds_left(search: SearchView, study: Study, slots: float) -> float | None:
    """What is missing, and the rest of what runs, at this study's mean, on its part of the slots: a rough guess.

    None where nothing can be said: no trial has ended yet, nothing is left, or no more trials are started.
    """
    each = study.seconds_a_trial
    if not each or not (study.missing or study.running) or search.stopping:
        return None
    now = time.monotonic()
    rests = [max(0.0, run.started + each - now) for run in list(search.running.values()) if run.study is study]
    busy = sum(bool(s.missing or s.running) for s in search.studies)
    return max((study.missing * each + sum(rests)) * busy / max(1.0, slots), *rests, 0.0)
