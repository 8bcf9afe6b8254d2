"""The status file: every search writes one in the run's folder while it runs, for ``asd-ray status``."""

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

FAILURES = 5  # the last ones are written
LONGEST = 300  # characters of an error


class StatusFile(Watcher):
    """Writes the file that `asd-ray status` reads. A slow or full disk, or a slow S3, does not stop a search.

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
        self._file = BeatingFile(self._files, layout.status_file(new_driver()), self._content, self._remove_dead)
        self._began = self._turned = time.monotonic()
        self._state: dict[str, Any] | None = None  # as of the last look at the search
        self._looked = 0.0  # time.monotonic()
        self._retries: dict[str, int] = {}  # reason -> how often
        self._failures: deque[dict[str, str]] = deque(maxlen=FAILURES)

    def retried(self, run: RunningTrial, why: str) -> None:
        self._retries[why] = self._retries.get(why, 0) + 1

    def ended(self, run: RunningTrial, record: TrialRecord) -> None:
        if record.status == "failed":
            self._failures.append({"trial": record.name, "error": record.error[:LONGEST]})

    def turn(self, search: SearchView) -> None:
        self._turned = time.monotonic()
        if self._state is not None and self._turned - self._looked < self._file.every:
            return
        self._looked = self._turned
        self._state = self._state_of(search)
        self._file.start()
        self._file.soon()

    def close(self, search: SearchView) -> None:
        self._file.close()

    def _remove_dead(self) -> None:
        """Remove the files of searches that were killed: this command takes their place."""
        try:
            now = store_clock(self._files, self._layout.status)
            for beat in read_beats(self._files, self._files.list(self._layout.status), now):
                if not beat.alive:
                    self._files.remove(beat.path)
        except AsdRayError:
            pass  # the first heartbeat will report it

    def _content(self) -> dict[str, Any]:
        """Called by another thread, so it reads only what `turn` has prepared."""
        now = time.monotonic()
        return {
            "command": self._command,
            "seconds": round(now - self._began, 1),
            "turned": round(now - self._turned, 1),  # seconds since the search itself called `turn`
            **(self._state or {}),
        }

    def _state_of(self, search: SearchView) -> dict[str, Any]:
        slots, now = self._slots(), time.monotonic()
        return {
            "slots": slots,
            "cluster": self._cluster(),
            "ended": search.ended,
            "left": seconds_left_of_all(search, max(1.0, slots)),
            "stopping": search.stopping,
            "error": search.error[:LONGEST],
            "again": dict(self._retries),
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
        "objective": study.settings.objective,
        "left": seconds_left(search, study, slots),
    }


def seconds_left(search: SearchView, study: Study, slots: float) -> float | None:
    """A rough guess: missing trials and the rest of the running ones take this study's mean, on its share of the slots.

    None where no guess is possible: no trial has ended yet, nothing is left, or no more trials are started.
    """
    mean = study.mean_seconds
    if not mean or not (study.missing or study.running) or search.stopping:
        return None
    rests = _rests(search, study, mean)
    busy = sum(bool(s.missing or s.running) for s in search.studies)
    return max((study.missing * mean + sum(rests)) * busy / max(1.0, slots), *rests, 0.0)


def seconds_left_of_all(search: SearchView, slots: float) -> float | None:
    """The same guess for all studies together. One without an ended trial takes the mean of the others."""
    studies = [study for study in search.studies if study.missing or study.running]
    known = [study.mean_seconds for study in search.studies if study.mean_seconds]
    if not known or not studies or search.stopping:
        return None
    work, longest = 0.0, 0.0
    for study in studies:
        mean = study.mean_seconds or sum(known) / len(known)
        rests = _rests(search, study, mean)
        work += study.missing * mean + sum(rests)
        longest = max(longest, *rests, 0.0)
    return max(work / max(1.0, slots), longest)


def _rests(search: SearchView, study: Study, mean: float) -> list[float]:
    """Seconds that the running trials of a study still need if each takes `mean`."""
    now = time.monotonic()
    return [max(0.0, run.started + mean - now) for run in list(search.running.values()) if run.study is study]
