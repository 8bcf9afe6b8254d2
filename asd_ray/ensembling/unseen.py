"""The labelled test clips that a search set aside, and the candidates' scores of them.

They are read when an ensemble is measured, after its members were chosen. What chooses never gets them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics import EvaluableClips, evaluable_clips

if TYPE_CHECKING:
    from asd_ray.ledger import CandidateMatrix, Ledger

SPLIT = "unseen"
Pair = tuple[str, str]  # trial and variant


@dataclass(frozen=True)
class UnseenClips:
    """Unseen clips of one machine. `read` reads the ledger at its first call."""

    machine: str
    pairs: tuple[Pair, ...]  # the candidates, in their order
    known: frozenset[Pair]  # those that have scores of unseen clips
    seen: frozenset[str]  # names of the clips that the candidates are chosen by
    read: Callable[[], CandidateMatrix]

    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        return replace(self, pairs=tuple(self.pairs[row] for row in rows.tolist()))

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clips that every candidate has scored: clip, id, domain, label."""
        return self._matrix.clips.iloc[self._shared].reset_index(drop=True)

    def scores(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """The scores of some candidates, [rows, clips]."""
        return self._matrix.scores[self._rows[list(rows)]][:, self._shared]

    def judged(self, year: int | None) -> EvaluableClips:
        """The clips that count, as `Candidates.judged`; an AsdRayError if there are none."""
        return evaluable_clips(self.machine, self.clips, year)

    def reason_against(self, year: int | None) -> str:
        """Why nothing can be measured on these clips; "" if it can. Reads the labels of unseen clips."""
        if lacking := [pair for pair in self.pairs if pair not in self.known]:
            many = "a candidate has" if len(lacking) == 1 else f"{len(lacking)} candidates have"
            return f"{many} no scores of unseen clips, first trial {lacking[0][0]} {lacking[0][1]}"
        if not len(self.clips):
            return "the candidates have no unseen clip in common"
        if both := sorted(self.seen & set(self.clips["clip"])):
            return f"{len(both)} unseen clips are among the test clips, first {both[0]}"
        try:
            self.judged(year)
        except AsdRayError:
            return "no id has normal and anomalous unseen clips"
        return ""

    @cached_property
    def _matrix(self) -> CandidateMatrix:
        return self.read()

    @cached_property
    def _rows(self) -> npt.NDArray[np.intp]:
        table = self._matrix.candidates
        place = {pair: row for row, pair in enumerate(zip(table["trial"], table["variant"], strict=True))}
        return np.array([place[pair] for pair in self.pairs], np.intp)

    @cached_property
    def _shared(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(np.isfinite(self._matrix.scores[self._rows]).all(axis=0))


def unseen_clips(ledger: Ledger, machine: str, pairs: Sequence[Pair], seen: Sequence[str]) -> UnseenClips | None:
    """The unseen clips of these candidates, not read yet; None if the ledger has none. `seen` names the test clips."""
    known = frozenset(
        (entry.record.trial, variant)
        for entry in ledger.entries(machine)
        if entry.record.status == "complete" and entry.splits.get(SPLIT) is not None
        for variant in entry.splits[SPLIT].variants
    )
    if not known & set(pairs):
        return None

    @cache
    def read() -> CandidateMatrix:
        from asd_ray.ledger import candidate_matrix

        return candidate_matrix(ledger, machine, SPLIT, missing="nan")

    return UnseenClips(machine, tuple(pairs), known, frozenset(seen), read)
