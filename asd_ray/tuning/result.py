"""The result of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from asd_ray.ledger import TrialRecord

RECORDS = ("best", "paper", "paper_score")


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
    best: TrialRecord | None = field(repr=False)
    paper: TrialRecord | None = field(repr=False)  # the trial of the paper's setting and of this search's seed
    # the same trial, by the score that the paper reports instead of the best one; None if it has no single score
    paper_score: TrialRecord | None = field(repr=False, default=None)

    def to_json(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        records = {name: values[name] and values[name].to_dict() for name in RECORDS}
        return {**values, "machines": list(self.machines), **records}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        records = {name: TrialRecord.from_dict(stored[name]) if stored.get(name) else None for name in RECORDS}
        return cls(**{**stored, "machines": tuple(stored["machines"]), **records})


@dataclass(frozen=True)
class SearchResult:
    run: str
    studies: tuple[StudyResult, ...]
    ended: int  # trials that this search ran
    stopped: str = ""  # why it ended early
    failure: str = ""  # which studies have failed trials only, and why
    error: str = ""  # what ended it as a failure

    def to_json(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "studies": [study.to_json() for study in self.studies]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(**{**stored, "studies": tuple(map(StudyResult.from_json, stored["studies"]))})

    @property
    def machines(self) -> list[str]:
        return list(dict.fromkeys(machine for study in self.studies for machine in study.machines))

    @property
    def stored(self) -> int:
        return sum(study.stored for study in self.studies)

    @property
    def missing(self) -> int:
        return sum(study.missing for study in self.studies)
