"""Removes the states of a search's trials that are no longer among the best of their study."""

from __future__ import annotations

import contextlib

from asd_ray.errors import AsdRayError
from asd_ray.ledger import TrialRecord
from asd_ray.ledger.record import FIXED
from asd_ray.ledger.states import States
from asd_ray.storage.files import Stored
from asd_ray.tuning.state_policy import StatePolicy
from asd_ray.tuning.study import Study


class StateKeeper:
    """One per search. The search itself calls it; workers only write."""

    def __init__(self, states: States, policy: StatePolicy, members: frozenset[str] = frozenset()) -> None:
        self.states, self.policy = states, policy
        self._members = members  # trials of stored ensembles, whose states stay in any case
        self._kept: dict[str, set[str]] = {}  # study -> trials that may have a state

    def begin(self, study: Study) -> list[Stored]:
        """Remove the states of a study that are not among the best, and return them.

        An earlier search may have been killed before it removed them, or have kept more.
        """
        if not self.policy.best:  # all stay; or no state is written, and older ones are not this search's business
            return []
        files = self.states.of_family(study.family.name)
        there = {trial for trial, record in study.records.items() if trial in files and _is_own(record, study)}
        self._kept[study.name] = set(there)
        self._trim(study)
        return [files[trial] for trial in sorted(there - self._kept[study.name])]

    def ended(self, study: Study, trial: str) -> None:
        """A trial has ended, and may have stored its state if it is complete."""
        record = study.records.get(trial)
        if self.policy.best and record is not None and record.status == "complete" and _is_own(record, study):
            self._kept.setdefault(study.name, set()).add(trial)
            self._trim(study)

    def _trim(self, study: Study) -> None:
        """Remove the states that fell out of the best. A file that cannot be removed is tried again later."""
        kept = self._kept[study.name]
        for trial in sorted(kept - self.policy.keeps(study.records.values()) - self._members):
            with contextlib.suppress(AsdRayError):
                self.states.remove(study.family.name, trial)
                kept.discard(trial)


def _is_own(record: TrialRecord, study: Study) -> bool:
    """Whether this study drew the trial. One of a study with other fixed values may count here, too, but is not ours.

    Its state may be among the best of that study.
    """
    return bool(record.extra.get(FIXED, {}) == study.space.fixed)
