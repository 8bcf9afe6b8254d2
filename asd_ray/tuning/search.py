"""The search: all studies of a command, which trial comes next, and what becomes of each; knows nothing of Ray."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from asd_ray._log import LOGGER, line
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.events import EpochsDone, Outcome, ProgressEvent, RungReached
from asd_ray.tuning.ledger_view import find_trial
from asd_ray.tuning.recording import commit, records_of
from asd_ray.tuning.running import RunningTrial
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import Study
from asd_ray.tuning.watch._base import Watcher

Fits = Callable[[Study], bool]
LIVES = 2  # how often a trial may lose its worker before it counts as failed
NODES = 20  # how often it may beside that lose its node, such as spot instances, or meet one that cannot run it


class Search:
    """Asks the studies in turn, tells them how trials ended, and commits what no worker can: pruned, and lost."""

    def __init__(
        self,
        studies: list[Study],
        source: DataSource,
        ledger: Ledger,
        *,
        deadline: float | None = None,
        watchers: Sequence[Watcher] = (),
        other_nodes: bool = False,
    ) -> None:
        self.studies, self.source, self.ledger = studies, source, ledger
        self.other_nodes = other_nodes  # whether a trial that one node cannot run may run on another
        self.deadline = deadline  # of time.monotonic(): no trial starts after it
        self.watchers = tuple(watchers)
        self.started = time.monotonic()
        self.running: dict[str, RunningTrial] = {}  # trial hash -> a trial in flight
        self.ended = 0  # trials that this command has finished
        self.stopping = ""  # why no more trials are started
        self.error = ""  # what ends the search as a failure
        self._again: list[RunningTrial] = []
        self._lost: dict[str, int] = {}
        self._failing: set[str] = set()  # watchers that raised, which is said once

    # -- which trial comes next ----------------------------------------------------------------------------------

    def next(self, fits: Fits = lambda study: True) -> TrialSpec | None:
        """A trial to run now, of a study that `fits` into what is free; None: not now, see `over`."""
        if self.deadline is not None and time.monotonic() > self.deadline and not self.stopping:
            self.stop("the time is up")
        if self.stopping:
            return None
        for waiting in self._again:
            if fits(waiting.study):
                self._again.remove(waiting)
                return self._start(waiting.spec, waiting.study, waiting.faults)
        ready = sorted((study for study in self.studies if study.missing and fits(study)), key=self._turn)
        in_time = [study for study in ready if self._in_time(study)]
        for study in in_time:
            try:
                spec = study.ask()
            except AsdRayError as error:  # a space that raises for some draw
                self._fails(str(error))
                self.stop("a search space failed")
                return None
            if spec is not None:
                return self._start(spec, study)
        if len(in_time) < len(ready) and not self.running:  # what runs may yet show that trials take less
            self.stop("the time is up")
        return None

    @property
    def over(self) -> bool:
        """Nothing runs and nothing will be started."""
        if self.running:
            return False
        return bool(self.stopping) or not (self._again or any(study.missing for study in self.studies))

    def stop(self, why: str) -> None:
        """Start no more trials; those that run go on."""
        self.stopping = self.stopping or why

    def _turn(self, study: Study) -> float:
        """Every study advances at the same share of what it wants, so none is left alone at the end."""
        return (study.wanted - study.missing) / max(1, study.wanted)

    def _in_time(self, study: Study) -> bool:
        """Whether a trial that takes as long as this study's others would end before the deadline."""
        if self.deadline is None:
            return True
        return time.monotonic() + 0.8 * study.seconds_a_trial < self.deadline

    def _start(self, spec: TrialSpec, study: Study, faults: tuple[str, ...] = ()) -> TrialSpec:
        run = self.running[spec.hash] = RunningTrial(spec, study, faults=faults)
        self._tell(lambda each: each.began(run))
        return spec

    def withdraw(self, spec: TrialSpec, *, again: bool) -> None:
        """A trial that no worker has taken yet is not run, or waits to be handed out `again`."""
        run = self.running.pop(spec.hash)
        if again:
            self._again.append(RunningTrial(spec, run.study, faults=run.faults))
        else:
            run.study.forget(spec)

    # -- what becomes of it --------------------------------------------------------------------------------------

    def progressed(self, spec: TrialSpec, event: ProgressEvent) -> bool:
        """A sign of life; whether the trial is to be stopped now."""
        run = self.running.get(spec.hash)
        if run is None:
            return False
        run.seconds, run.node = event.seconds, event.node
        if isinstance(event, EpochsDone):
            run.epoch = event.epoch
        if isinstance(event, RungReached):
            run.intermediate[event.epoch] = event.value
        self._tell(lambda each: each.progressed(run, event))
        return isinstance(event, RungReached) and run.study.report(spec, event.epoch, event.value)

    def finished(self, spec: TrialSpec, outcome: Outcome, by_nodes: int = 0) -> None:
        """A worker says that it has stored the trial, or why it could not; `by_nodes` as in `lost`."""
        run = self.running.pop(spec.hash, None)
        if run is None:
            return
        if outcome.storage_error:
            self._refused(run, outcome.storage_error)
        elif outcome.node_fault:
            run.faults = (*run.faults, outcome.node_fault)
            self._given_back(run, outcome, by_nodes)
        else:
            self._told(run, outcome.record)

    def pruned(self, spec: TrialSpec) -> None:
        """The trial was stopped at a rung: stored here, with what it had reached."""
        run = self.running.pop(spec.hash, None)
        if run is not None:
            self._store(run, "pruned")

    def lost(self, spec: TrialSpec, by_nodes: int = 0, hung: str = "") -> None:
        """Its worker died. What it stored counts; else it runs once more, and then it is failed.

        `by_nodes` is how often its whole node was lost, or could not run it, which says nothing about the trial. `hung`
        is the time limit that it outlived: the worker's last means, which leaves no time for words.
        """
        run = self.running.pop(spec.hash, None)
        if run is None:
            return
        found = None
        with contextlib.suppress(AsdRayError):  # S3 does not answer: if it is stored after all, that comes out later
            found = find_trial(self.ledger, spec.machines, spec.family, spec.hash)
        if found is not None:
            self._told(run, found)
        elif hung:
            self._store(run, "failed", error=f"it ran longer than --trial-time {hung} on {run.node} and was ended")
        else:
            dead = f"its worker died {LIVES} times: killed, or the computer is out of memory"
            self._once_more(run, "its worker died, or its node was lost", dead, by_nodes)

    def _once_more(self, run: RunningTrial, why: str, at_last: str, by_nodes: int = 0) -> None:
        """A trial that nothing is known of runs again, and is stored as failed when that was no better."""
        if self._has_lives(run, by_nodes):
            self._again.append(RunningTrial(run.spec, run.study, faults=run.faults))
            self._tell(lambda each: each.retried(run, why))
        else:
            self._store(run, "failed", error=at_last)

    def _given_back(self, run: RunningTrial, outcome: Outcome, by_nodes: int = 0) -> None:
        """A node could not run the trial: another may. Where there is none its study ends, and nothing is stored.

        A fault that no other study would escape, such as a full disk, ends the search.
        """
        if self.other_nodes and self._has_lives(run, by_nodes):
            self._again.append(RunningTrial(run.spec, run.study, faults=run.faults))
            self._tell(lambda each: each.retried(run, outcome.node_fault))
            return
        run.study.forget(run.spec)
        if not run.study.given_up:
            run.study.given_up = True
            fault = outcome.node_fault
            if fault not in self.error:  # many studies may meet the same fault
                self._fails(
                    f"{run.spec.name} was not stored: {fault}. This is a fault of the computer, not of the trial"
                )
        for waiting in [each for each in self._again if each.study is run.study]:
            self._again.remove(waiting)
            waiting.study.forget(waiting.spec)
        if outcome.affects_all or all(study.given_up for study in self.studies):
            self.stop("no node can run the trials")

    def _fails(self, why: str) -> None:
        if why not in self.error.splitlines():
            self.error = f"{self.error}\n{why}" if self.error else why

    def _has_lives(self, run: RunningTrial, by_nodes: int) -> bool:
        lost = self._lost[run.spec.hash] = self._lost.get(run.spec.hash, 0) + 1
        return lost - min(by_nodes, NODES) < LIVES

    def turn(self) -> None:
        """Called often by whoever runs it."""
        self._tell(lambda each: each.turn(self))

    def close(self) -> None:
        """It is over; to be called in any case."""
        self._tell(lambda each: each.close(self))

    def _tell(self, what: Callable[[Watcher], None]) -> None:
        """A watcher changes nothing, not even by failing; only a closed pipe ends the command as usual."""
        for each in self.watchers:
            try:
                what(each)
            except BrokenPipeError:
                raise
            except Exception as error:  # a full disk under the terminal's output, a cluster that does not answer
                name = type(each).__name__
                if name not in self._failing:
                    LOGGER.warning("%s", line("watcher_failed", watcher=name, error=f"{type(error).__name__}: {error}"))
                    LOGGER.debug("traceback", exc_info=True)
                self._failing.add(name)

    def abandon(self) -> None:
        """What runs or waits now is not stored; the same command starts it anew."""
        for run in [*self.running.values(), *self._again]:
            run.study.forget(run.spec)
        self.running.clear()
        self._again.clear()

    def _store(self, run: RunningTrial, status: str, error: str = "") -> None:
        what: dict[str, Any] = {
            "epochs": run.epoch,
            "intermediate": run.intermediate,
            "seconds": round(run.seconds, 3),
            "error": error,
        }
        extra = {"faults": list(run.faults)} if run.faults else {}
        records = records_of(run.spec, self.source, status, node=run.node, extra=extra, **what)
        outcome = commit(self.ledger, records)
        if outcome.storage_error:
            self._refused(run, outcome.storage_error)
            return
        self._told(run, outcome.record)

    def _told(self, run: RunningTrial, record: TrialRecord) -> None:
        self.ended += 1
        run.study.tell(run.spec, record)
        self._tell(lambda each: each.ended(run, record))

    def _refused(self, run: RunningTrial, why: str) -> None:
        """The ledger did not take a trial: a full disk, as a rule. Going on would only lose more."""
        run.study.forget(run.spec)
        self._fails(why)
        self.stop("a trial could not be stored")


@contextmanager
def interruptible(search: Search, say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once: finish what runs, start nothing new. Twice: KeyboardInterrupt, now."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if search.stopping == "Ctrl-C":
            raise KeyboardInterrupt
        search.stopping = "Ctrl-C"
        count = len(search.running)
        say(f"stopping: {count} running trial{'s' * (count != 1)} will be finished; Ctrl-C again to stop now")

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_serially(search: Search) -> None:
    """Every trial in this process, one after another, without Ray."""
    import torch

    from asd_ray.tuning.trial import run_trial

    while (spec := search.next()) is not None:
        search.turn()
        device = torch.device("cuda" if spec.gpu > 0 else "cpu")
        family = search.running[spec.hash].study.family
        for event in (trial := run_trial(spec, family, search.source, search.ledger, device)):
            if isinstance(event, Outcome):
                search.finished(spec, event)
            elif search.progressed(spec, event):
                trial.close()
                search.pruned(spec)
            search.turn()
