"""Which trials of a study keep what they have learned, so that an ensemble can score new sound without training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from asd_ray.errors import AsdRayError
from asd_ray.ledger import TrialRecord

DEFAULT = "best:3"
NEVER, ALWAYS = math.inf, -math.inf
FORM = re.compile(r"best:([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class StatePolicy:
    """``best:3`` keeps the states of the three best complete trials of each study and of the paper's setting."""

    best: int | None  # None: all

    @classmethod
    def parse(cls, text: str) -> StatePolicy:
        if text in ("all", "none"):
            return cls(None if text == "all" else 0)
        match = FORM.fullmatch(text)
        if match is None:
            raise AsdRayError(f"--keep-states must be best:N, all or none but got {text!r:.40}")
        return cls(int(match[1]))

    def least(self, records: Iterable[TrialRecord], paper: bool) -> float:
        """The objective from which a trial that starts now keeps its state; `NEVER` and `ALWAYS` are infinite.

        `records` are the stored trials of its study.
        The best trials only get better while it runs, so a trial below this can no longer be one of them.
        """
        if self.best is None:
            return ALWAYS
        if self.best == 0:
            return NEVER
        if paper:
            return ALWAYS
        best = _best(records, self.best)
        return (best[-1].objective or 0.0) if len(best) == self.best else ALWAYS

    def keeps(self, records: Iterable[TrialRecord]) -> set[str]:
        """The trials of a study whose states are kept."""
        complete = [record for record in records if record.status == "complete"]
        if self.best is None:
            return {record.trial for record in complete}
        best = _best(complete, self.best) if self.best else []
        return {record.trial for record in [*best, *(record for record in complete if record.paper and self.best)]}


def _best(records: Iterable[TrialRecord], count: int) -> list[TrialRecord]:
    """The best complete trials; the lower number first where objectives are equal."""
    scored = [record for record in records if record.status == "complete" and record.objective is not None]
    return sorted(scored, key=lambda record: (-(record.objective or 0.0), record.number))[:count]
