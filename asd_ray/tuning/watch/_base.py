"""The base of all watchers of a search: log lines, metrics, curves, the status file. No watcher changes what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger, TrialRecord
    from asd_ray.tuning.events import ProgressEvent
    from asd_ray.tuning.running import RunningTrial
    from asd_ray.tuning.study import Study


class SearchView(Protocol):
    """What a watcher may read of a search."""

    @property
    def studies(self) -> Sequence[Study]: ...

    @property
    def running(self) -> Mapping[str, RunningTrial]: ...  # trial hash -> a trial in flight

    @property
    def started(self) -> float: ...  # time.monotonic()

    @property
    def ended(self) -> int: ...  # trials that this command has finished

    @property
    def error(self) -> str: ...  # why the search ends as a failure

    @property
    def ledger(self) -> Ledger: ...

    @property
    def stopping(self) -> str: ...  # why no more trials are started


class Watcher:
    """Notified of all that happens, in the process that runs the search. Its own methods do nothing."""

    def began(self, run: RunningTrial) -> None:
        """A trial was handed out; it may still wait for a worker."""

    def progressed(self, run: RunningTrial, event: ProgressEvent) -> None:
        """A trial reports an event. `run` is up to date with it already."""

    def retried(self, run: RunningTrial, why: str) -> None:
        """A trial lost its worker, or its node could not run it. It will run once more; `run` is the lost attempt."""

    def ended(self, run: RunningTrial, record: TrialRecord) -> None:
        """A trial is stored: complete, pruned or failed."""

    def turn(self, search: SearchView) -> None:
        """Called often while the search runs, about once a second or more."""

    def close(self, search: SearchView) -> None:
        """The search is over, for whatever reason."""
