"""Who looks on while a search runs: log lines, metrics, curves, the status file. None of them changes what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_ray.ledger import TrialRecord
    from asd_ray.tuning.search import Running, Search
    from asd_ray.tuning.trial import Reached


class Watcher:
    """Is told what happens, in the process that runs the search; each method does nothing unless it is overridden."""

    def began(self, run: Running) -> None:
        """A trial was handed out; it may still wait for a worker."""

    def reached(self, run: Running, what: Reached) -> None:
        """A sign of life of a trial; `run` has taken it in already."""

    def again(self, run: Running, why: str) -> None:
        """A trial lost its worker, or its node could not run it, and will be run once more."""

    def ended(self, run: Running, record: TrialRecord) -> None:
        """A trial is stored: complete, pruned or failed."""

    def turn(self, search: Search) -> None:
        """Called often while the search runs, at least once a second or so."""

    def close(self, search: Search) -> None:
        """The search is over, for whatever reason."""
