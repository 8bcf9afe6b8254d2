"""The cost of dispatch: Ray's overhead per trial, how busy the slots are, and the memory of long-lived workers."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from asd_ray import ClipSet, Context, Dataset, FrontEnd, Progress, Resources, Run, Scores, State
from asd_ray.clips.demo import make_demo
from asd_ray.features import PRESETS
from asd_ray.ledger import TrialRecord
from benchmarks._timing import Row

SLOTS = 2
TRIALS = 400  # many, because end times are stored in whole seconds
LIMIT = 0.4  # seconds of overhead per trial
ALIKE = """PAPER = {"lr": 1e-3, "epochs": 100}  # all trials have one size: Optuna must not make them larger

def space(trial):
    return {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}
"""
PAPER = {"x": 0.5}


def space(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


class Nothing:
    """Learns nothing. The score of a clip is its position."""

    RESOURCES: ClassVar[Resources] = Resources(cpu=1)
    SECONDS = 0.0

    def __init__(self, context: Context, *, x: float = 0.5) -> None:
        self.x = x

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["raw"]

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        time.sleep(self.SECONDS * (0.5 + self.x))
        yield Progress(1, {})

    def score(self, clips: ClipSet) -> Scores:
        return {"nothing": np.arange(len(clips), dtype=np.float64)}

    def state(self) -> State:
        return {}

    def load(self, state: State) -> None:
        """Nothing to restore."""


class Sleeps(Nothing):
    """Sleeps 1 to 3 seconds, depending on its parameter, so that trials differ in length."""

    SECONDS = 2.0


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset(make_demo(Path(folder) / "demo", size="tiny", machines=["fan"]), cache=f"{folder}/cache")
        records, _ = _search(data, f"{folder}/nothing", Nothing, TRIALS)
        ends = sorted(datetime.fromisoformat(record.created).timestamp() for record in records)
        with_ray = (ends[-1] - ends[0]) / (len(ends) - 1)
        _, wall = _search(data, f"{folder}/serial", Nothing, TRIALS, serial=True)
        detail = (
            f"{with_ray:.3f} s a trial between the first and the last of {TRIALS} on {SLOTS} slots; "
            f"{wall / TRIALS:.3f} s without Ray"
        )
        yield "a trial that does nothing, on Ray", f"{LIMIT} s a trial", LIMIT / with_ray, detail

        records, wall = _search(data, f"{folder}/sleeps", Sleeps, 30)
        busy = sum(record.seconds or 0 for record in records) / SLOTS
        first = min(datetime.fromisoformat(r.created).timestamp() - (r.seconds or 0) for r in records)
        span = max(datetime.fromisoformat(r.created).timestamp() for r in records) - first
        yield (
            "trials of 1 to 3 s, unequal, on 2 slots",
            "both slots busy all the time",
            busy / span,
            f"{busy / span:.0%} busy from the first worker's start on; {wall:.0f} s in all, with that of Ray",
        )

        (alike := Path(folder) / "alike.py").write_text(ALIKE)
        spaces = {"autoencoder": alike}
        records, _ = _search(data, f"{folder}/memory", "autoencoder", 120, epochs_cap=1, spaces=spaces)
        peaks = [record.peak_memory_mb or 0 for record in sorted(records, key=lambda record: record.number)]
        early, late = statistics.median(peaks[5:15]), statistics.median(peaks[-10:])
        yield (
            "memory of 2 workers that served 120 autoencoders",
            "after the first few",
            early / late,
            f"{late:.0f} MB at the peak of the last 10 trials against {early:.0f} MB of trials 6 to 15",
        )


def _search(
    data: Dataset, folder: str, family: str | type, trials: int, *, serial: bool = False, **options: Any
) -> tuple[list[TrialRecord], float]:
    """The records of a search, and the seconds that it took, with the start of Ray."""
    started, run = time.perf_counter(), Run(folder)
    cpus = None if serial else SLOTS
    run.search(data, families=[family], trials=trials, serial=serial, cpus=cpus, dashboard=False, quiet=True, **options)
    return run.records(), time.perf_counter() - started
