"""The search: all studies of a command, which trial comes next, and how each ends. It knows nothing of Ray."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from asd_ray._log import LOGGER, line
from asd_ray._signals import acting_thread
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord
from asd_ray.ledger.states import States
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.events import DataReady, EpochsDone, Outcome, ProgressEvent, RungReached
from asd_ray.tuning.keeping import StateKeeper
from asd_ray.tuning.ledger_view import find_trial
from asd_ray.tuning.recording import commit, records_of
from asd_ray.tuning.running import RunningTrial
from asd_ray.tuning.state_policy import StatePolicy
from asd_ray.tuning.study import Study
from asd_ray.tuning.watch._base import Watcher

ATTEMPTS = 2  # a trial counts as failed when its worker has died so often
NODES = 20  # so many losses by a node (a spot instance that ended, a node that cannot run the trial) do not count


class Search:
    """Asks the studies for trials, tells them how the trials ended, and stores pruned and lost trials itself."""

    def __init__(
        self,
        studies: list[Study],
        source: DataSource,
        ledger: Ledger,
        *,
        deadline: float | None = None,
        watchers: Sequence[Watcher] = (),
        other_nodes: bool = False,
        keep: StatePolicy | None = None,
        members: frozenset[str] = frozenset(),
    ) -> None:
        self.studies, self.source, self.ledger = studies, source, ledger
        self.other_nodes = other_nodes  # whether a trial that one node cannot run may run on another
        self.deadline = deadline  # by time.monotonic(); no trial starts after it
        self.watchers = tuple(watchers)
        self._keeper = StateKeeper(States(ledger), keep or StatePolicy.parse("none"), members)
        self.started = time.monotonic()
        self.running: dict[str, RunningTrial] = {}  # trial hash -> a trial in flight
        self.ended = 0  # trials that this command has finished
        self.stopping = ""  # why no more trials are started
        self.error = ""  # what ends the search as a failure
        self._waiting: list[RunningTrial] = []  # lost trials that will run again
        self._failing: set[str] = set()  # watchers that raised; each is reported once

    # -- which trial comes next ----------------------------------------------------------------------------------

    def next(self, fits: Callable[[Study], bool] = lambda study: True) -> RunningTrial | None:
        """A trial to run now, from a study whose trials `fits` accepts. None: not now, or never if `over`."""
        if self.deadline is not None and time.monotonic() > self.deadline and not self.stopping:
            self.stop("the time is up")
        if self.stopping:
            return None
        for lost in self._waiting:
            if fits(lost.study):
                self._waiting.remove(lost)
                return self._start(lost.next_attempt())
        ready = sorted((study for study in self.studies if study.missing and fits(study)), key=_share_done)
        in_time = [study for study in ready if self._in_time(study)]
        for study in in_time:
            try:
                spec = study.ask()
            except AsdRayError as error:  # a space that raises for some draw
                self._add_error(str(error))
                self.stop("a search space failed")
                return None
            if spec is not None:
                return self._start(RunningTrial(spec, study))
        if len(in_time) < len(ready) and not self.running:  # while trials run, they may still prove to be faster
            self.stop("the time is up")
        return None

    @property
    def over(self) -> bool:
        """Nothing runs and nothing will be started."""
        if self.running:
            return False
        return bool(self.stopping) or not (self._waiting or any(study.missing for study in self.studies))

    def stop(self, why: str) -> None:
        """Start no more trials; running trials continue."""
        self.stopping = self.stopping or why

    def _in_time(self, study: Study) -> bool:
        """Whether a trial that takes as long as this study's others would end before the deadline."""
        if self.deadline is None:
            return True
        return time.monotonic() + 0.8 * study.mean_seconds < self.deadline

    def _start(self, run: RunningTrial) -> RunningTrial:
        self.running[run.spec.hash] = run
        self._notify(lambda watcher: watcher.began(run))
        return run

    def withdraw(self, run: RunningTrial, *, again: bool) -> None:
        """Take back a trial that no worker has started. With `again`, it is handed out again later."""
        del self.running[run.spec.hash]
        if again:
            self._waiting.append(run)
        else:
            run.study.forget(run.spec)

    def keeps_from(self, run: RunningTrial) -> float:
        """The objective from which the trial keeps what it has learned."""
        return self._keeper.policy.least(run.study.records.values(), run.spec.paper)

    # -- how it ends ---------------------------------------------------------------------------------------------

    def progressed(self, run: RunningTrial, event: ProgressEvent) -> bool:
        """Record what a trial reports. Returns whether the trial must stop now."""
        if not self._is_running(run):
            return False
        run.seconds, run.node = event.seconds, event.node
        if isinstance(event, DataReady):
            run.data_ready = time.monotonic()
        if isinstance(event, EpochsDone):
            run.epoch = event.epoch
        if isinstance(event, RungReached):
            run.intermediate[event.epoch] = event.value
        self._notify(lambda watcher: watcher.progressed(run, event))
        return isinstance(event, RungReached) and run.study.report(run.spec, event.epoch, event.value)

    def finished(self, run: RunningTrial, outcome: Outcome, by_nodes: int = 0) -> None:
        """A worker has stored the trial, or reports why it could not. `by_nodes` as in `lost`."""
        if not self._is_running(run):
            return
        del self.running[run.spec.hash]
        if outcome.storage_error:
            self._not_stored(run, outcome.storage_error)
        elif outcome.node_fault:
            run.faults = (*run.faults, outcome.node_fault)
            self._node_fault(run, outcome, by_nodes)
        else:
            self._end(run, outcome.record)

    def pruned(self, run: RunningTrial) -> None:
        """The trial was stopped at a rung. It is stored here, with the values up to then."""
        if self._is_running(run):
            del self.running[run.spec.hash]
            self._store(run, "pruned")

    def lost(self, run: RunningTrial, by_nodes: int = 0, hung: str = "") -> None:
        """The trial's worker died. If it stored the trial, that counts. Else the trial runs again, or fails at last.

        `by_nodes` counts how often a node was lost or could not run the trial, this time included; these losses are not
        the trial's fault. `hung` is the time limit that the trial exceeded, if its worker ended without storing it.
        """
        if not self._is_running(run):
            return
        del self.running[run.spec.hash]
        spec, record = run.spec, None
        with contextlib.suppress(AsdRayError):  # S3 does not answer; the next attempt looks again
            record = find_trial(self.ledger, spec.machines, spec.family, spec.hash)
        if record is not None:
            self._end(run, record)
        elif hung:
            self._store(run, "failed", error=f"it ran longer than --trial-time {hung} on {run.node} and was ended")
        elif self._may_run_again(run, by_nodes):
            self._retry(run, "its worker died, or its node was lost")
        else:
            why = f"its worker died {ATTEMPTS} times: killed, or the computer is out of memory"
            self._store(run, "failed", error=why)

    def _node_fault(self, run: RunningTrial, outcome: Outcome, by_nodes: int) -> None:
        """A node could not run the trial; another node may. If there is no other, its study ends; nothing is stored.

        A fault that affects every study, such as a full disk, ends the search.
        """
        if self.other_nodes and self._may_run_again(run, by_nodes):
            self._retry(run, outcome.node_fault)
            return
        run.study.forget(run.spec)
        if not run.study.given_up:
            run.study.given_up = True
            fault = outcome.node_fault
            if fault not in self.error:  # many studies may meet the same fault
                why = f"{run.spec.name} was not stored: {fault}. This is a fault of the computer, not of the trial"
                self._add_error(why)
        for lost in [lost for lost in self._waiting if lost.study is run.study]:
            self._waiting.remove(lost)
            lost.study.forget(lost.spec)
        if outcome.affects_all or all(study.given_up for study in self.studies):
            self.stop("no node can run the trials")

    def _may_run_again(self, run: RunningTrial, by_nodes: int) -> bool:
        """Count one more loss of the trial. Losses by nodes do not count as retries, up to a limit."""
        run.lost_on = (*run.lost_on, run.node_id)
        return len(run.lost_on) - min(by_nodes, NODES) < ATTEMPTS

    def _retry(self, run: RunningTrial, why: str) -> None:
        self._waiting.append(run)
        self._notify(lambda watcher: watcher.retried(run, why))

    def _store(self, run: RunningTrial, status: str, error: str = "") -> None:
        records = records_of(
            run.spec,
            self.source,
            status,
            epochs=run.epoch,
            intermediate=run.intermediate,
            seconds=round(run.seconds, 3),
            error=error,
            node=run.node,
            extra={"faults": list(run.faults)} if run.faults else {},
        )
        outcome = commit(self.ledger, records)
        if outcome.storage_error:
            self._not_stored(run, outcome.storage_error)
        else:
            self._end(run, outcome.record)

    def _end(self, run: RunningTrial, record: TrialRecord) -> None:
        self.ended += 1
        run.study.tell(run.spec, record)
        self._keeper.ended(run.study, record.trial)
        self._notify(lambda watcher: watcher.ended(run, record))

    def _not_stored(self, run: RunningTrial, why: str) -> None:
        """The ledger did not take a trial, most often because a disk is full. Continuing would lose more trials."""
        run.study.forget(run.spec)
        self._add_error(why)
        self.stop("a trial could not be stored")

    def _is_running(self, run: RunningTrial) -> bool:
        return self.running.get(run.spec.hash) is run

    def _add_error(self, why: str) -> None:
        if why not in self.error.splitlines():
            self.error = f"{self.error}\n{why}" if self.error else why

    def begin(self) -> str:
        """Remove the states that are not among the best, before the first trial. Returns how many, as text."""
        removed = [stored for study in self.studies for stored in self._keeper.begin(study)]
        if not removed:
            return ""
        size = sum(stored.size for stored in removed)
        return f"{len(removed)} state{'s' * (len(removed) != 1)} ({size / 1e6:.1f} MB)"

    # -- around it -----------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Let the watchers work. Called often while the search runs."""
        self._notify(lambda watcher: watcher.turn(self))

    def abandon(self) -> None:
        """Drop the trials that run or wait, without storing them; the same command starts them again."""
        for run in [*self.running.values(), *self._waiting]:
            run.study.forget(run.spec)
        self.running.clear()
        self._waiting.clear()

    def close(self) -> None:
        """Tell the watchers that the search is over. Called in any case."""
        self._notify(lambda watcher: watcher.close(self))

    def _notify(self, call: Callable[[Watcher], None]) -> None:
        """Call every watcher. One that raises does not stop the search. Only a closed pipe ends the command."""
        for watcher in self.watchers:
            try:
                call(watcher)
            except BrokenPipeError:
                raise
            except Exception as error:  # such as a full disk under the terminal's output
                name = type(watcher).__name__
                if name not in self._failing:
                    LOGGER.warning("%s", line("watcher_failed", watcher=name, error=f"{type(error).__name__}: {error}"))
                    LOGGER.debug("traceback", exc_info=True)
                self._failing.add(name)


def _share_done(study: Study) -> float:
    """The sort key of studies: the one that is least done comes first, so that all of them end together."""
    return (study.wanted - study.missing) / max(1, study.wanted)


@contextmanager
def interruptible(search: Search, say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once: running trials are finished, and no new one starts. Ctrl-C twice: KeyboardInterrupt at once."""

    def say_it(number: int) -> None:
        count = len(search.running)
        say(f"stopping: {count} running trial{'s' * (count != 1)} will be finished; Ctrl-C again to stop now")

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set a handler
        yield
        return
    with acting_thread(say_it) as tell:

        def on_signal(number: int, frame: FrameType | None) -> None:
            if search.stopping == "Ctrl-C":
                raise KeyboardInterrupt
            search.stopping = "Ctrl-C"
            tell(number)

        before = signal.signal(signal.SIGINT, on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def run_serially(search: Search) -> None:
    """Run every trial in this process, one after another, without Ray."""
    import torch

    from asd_ray.tuning.trial import run_trial

    while (run := search.next()) is not None:
        search.turn()
        device = torch.device("cuda" if run.spec.resources.gpu > 0 else "cpu")
        keep_from = search.keeps_from(run)
        trial = run_trial(run.spec, run.study.family, search.source, search.ledger, device, keep_from=keep_from)
        for event in trial:
            if isinstance(event, Outcome):
                search.finished(run, event)
            elif search.progressed(run, event):
                trial.close()
                search.pruned(run)
            search.turn()
