"""What a search came to."""

from __future__ import annotations

from dataclasses import dataclass

from asd_ray.ledger import TrialRecord


@dataclass(frozen=True)
class StudyResult:
    """One machine, or several together, and one family."""

    name: str
    machines: tuple[str, ...]
    family: str
    wanted: int  # trials
    stored: int  # trials, of any status
    failed: int
    missing: int  # trials that another search with the same arguments would run
    exhausted: bool  # whether its space has no untried parameters left
    best: TrialRecord | None
    paper: TrialRecord | None  # the trial of the paper's setting and of this search's seed


@dataclass(frozen=True)
class SearchResult:
    run: str
    studies: tuple[StudyResult, ...]
    ended: int  # trials that this search ran
    stopped: str = ""  # why it ended early
    fruitless: str = ""  # which studies have failed trials only, and why
    error: str = ""  # what ended it as a failure

    @property
    def machines(self) -> list[str]:
        return list(dict.fromkeys(machine for study in self.studies for machine in study.machines))

    @property
    def stored(self) -> int:
        return sum(study.stored for study in self.studies)

    @property
    def missing(self) -> int:
        return sum(study.missing for study in self.studies)
