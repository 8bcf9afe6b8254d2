"""The driver of a search: how busy it keeps 8 declared GPUs, and whether its cost per trial grows over 2,000 trials."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import psutil  # type: ignore[import-untyped]

from asd_ray.clips.demo import make_demo
from asd_ray.clips.scan import scan
from asd_ray.detectors import Resources, family
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.storage.study_locks import StudyLocks
from asd_ray.tuning.config import SearchConfig
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.events import ProgressEvent
from asd_ray.tuning.plan import make_plan
from asd_ray.tuning.running import RunningTrial
from asd_ray.tuning.search import Search
from asd_ray.tuning.watch._base import Watcher
from benchmarks._timing import Row
from benchmarks.bench_search import PAPER, Nothing, space

__all__ = ["PAPER", "space"]  # the search space of the families below
SLOTS = 8
EACH = 10  # trials of each of 4 families and 2 machines
WANTED = 0.95
MANY = 2000
LOOKS = (100, 500, 1000, 2000)


class Sleeper(Nothing):
    """Holds a GPU that is declared to Ray but does not exist, and sleeps."""

    RESOURCES: ClassVar[Resources] = Resources(cpu=0.25, gpu=1.0)


class Sleeps4(Sleeper):
    SECONDS = 4.0  # 0.5 to 1.5 times as long, as the parameter says


class Sleeps6(Sleeper):
    SECONDS = 6.0


class Sleeps9(Sleeper):
    SECONDS = 9.0


class Sleeps13(Sleeper):
    SECONDS = 13.0


@dataclass
class Timeline(Watcher):
    """Records when trials began and ended, and the memory of the driver at some of the ends."""

    first: float = 0.0
    handed_out: float = 0.0  # when the last trial started; after that some slots have nothing to do
    spans: list[tuple[float, float]] = field(default_factory=list)
    looks: dict[int, tuple[float, float]] = field(default_factory=dict)  # trials -> when, MiB

    def began(self, run: RunningTrial) -> None:
        self.handed_out = time.perf_counter()

    def progressed(self, run: RunningTrial, event: ProgressEvent) -> None:
        self.first = self.first or time.perf_counter()

    def ended(self, run: RunningTrial, record: TrialRecord) -> None:
        now = time.perf_counter()
        self.spans.append((now - (record.seconds or 0.0), now))
        if len(self.spans) in (1, *LOOKS):
            self.looks[len(self.spans)] = now, psutil.Process().memory_info().rss / 2**20

    @property
    def busy(self) -> float:
        """The share of slot time that trials used, from the first worker's start to the last trial's start."""
        last = self.handed_out
        taken = sum(max(0.0, min(end, last) - max(start, self.first)) for start, end in self.spans)
        return taken / (SLOTS * (last - self.first))


def run() -> Iterator[Row]:
    from asd_ray.tuning.on_ray.worker import PRETENDED

    os.environ[PRETENDED] = "1"
    with tempfile.TemporaryDirectory() as folder:
        root = make_demo(Path(folder) / "demo", size="tiny", machines=["fan", "pump"])
        source = DataSource(scan(root), cache=f"{folder}/cache")
        names = [f"benchmarks.bench_dispatch:Sleeps{length}" for length in (4, 6, 9, 13)]
        seen, wall = _searched(source, f"{folder}/sleepers", ["fan", "pump"], names, EACH)
        yield (
            f"{SLOTS} declared GPUs, 4 sleeping families × 2 machines × {EACH} trials of 2 to 20 s",
            "all slots busy until nothing is left to start",
            seen.busy,
            f"{seen.busy:.1%} busy (wanted {WANTED:.0%}); {wall:.0f} s in all, with Ray's start and the last wave",
        )
        names = [f"benchmarks.bench_dispatch:Quick{number}" for number in range(4)]
        seen, _ = _searched(source, f"{folder}/many", ["fan", "pump"], names, MANY // 8)
        figures, (at, since) = [], (1, seen.looks[1][0])
        for count in LOOKS:
            when, weight = seen.looks[count]
            figures.append((count, (when - since) / (count - at), weight))
            at, since = count, when
        text = "; ".join(f"{count}: {each * 1000:.0f} ms a trial, {weight:.0f} MiB" for count, each, weight in figures)
        yield (
            f"{MANY} trials in one command (4 families × 2 machines)",
            "the first 100",
            figures[0][1] / figures[-1][1],
            f"driver at {text}",
        )


class Quick0(Nothing):
    RESOURCES: ClassVar[Resources] = Resources(cpu=4.0)  # two at once: enough to show what a trial costs the driver


class Quick1(Quick0):
    """A second family of the same kind."""


class Quick2(Quick0):
    """A third family of the same kind."""


class Quick3(Quick0):
    """A fourth family of the same kind."""


def _searched(
    source: DataSource, run: str, machines: list[str], names: list[str], trials: int
) -> tuple[Timeline, float]:
    from asd_ray.tuning.on_ray.cluster import Cluster, ray_at
    from asd_ray.tuning.on_ray.run import run_on_ray

    ledger = Ledger(run)
    families = [family(name) for name in names]
    wished = SearchConfig(machines, names, trials=trials)
    plan = make_plan(wished, source, ledger, StudyLocks(ledger.layout), families, gpu=True)
    started = time.perf_counter()
    with ray_at(cpus=SLOTS, gpus=SLOTS, dashboard=False):
        search = Search(plan.studies, source, ledger, watchers=[seen := Timeline()])
        run_on_ray(search, Cluster())
    assert len(seen.spans) == trials * len(names) * len(machines)
    return seen, time.perf_counter() - started
