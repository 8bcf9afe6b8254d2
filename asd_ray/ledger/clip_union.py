"""The clips of a matrix: which ones it has, their facts, and the columns of each candidate's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("id", "domain", "label")
UNKNOWN = {"id": "", "domain": "", "label": "unknown"}  # the fact if a candidate does not know it


class ClipUnion:
    """The union of clip lists. A fact that is unknown in one list may come from another, but no two may differ."""

    def __init__(self, *, frozen_after_first: bool) -> None:
        self._frozen = frozen_after_first
        self._known: dict[str, dict[str, str]] = {}
        self._source: dict[tuple[str, str], str] = {}  # (clip, fact) -> the candidate that it comes from
        self._lists: dict[str, list[str]] = {}
        self._alignments: dict[str, tuple[Any, Any]] = {}
        self._lacking: dict[str, list[str]] = {}
        self._clips: list[str] | None = None

    def add(self, digest: str, columns: dict[str, list[str]], candidate: str) -> None:
        first = not self._lists
        self._lists[digest] = columns["clip"]
        for clip, *facts in zip(columns["clip"], *(columns[fact] for fact in FACTS), strict=True):
            if clip not in self._known:
                if self._frozen and not first:
                    continue
                self._known[clip] = dict(UNKNOWN)
            for fact, value in zip(FACTS, facts, strict=True):
                self._learn(clip, fact, value, candidate)
        self._clips = None
        self._alignments.clear()
        self._lacking.clear()

    def _learn(self, clip: str, fact: str, value: str, candidate: str) -> None:
        known = self._known[clip][fact]
        if value == UNKNOWN[fact] or value == known:
            return
        if known != UNKNOWN[fact]:
            raise AsdRayError(
                f"clip {clip!r} has {fact} {known!r} by {self._source[clip, fact]} but {value!r} by {candidate}; they "
                "are of different datasets, or one has a wrong label list; use one dataset per run"
            )
        self._known[clip][fact] = value
        self._source[clip, fact] = candidate

    @property
    def clips(self) -> list[str]:
        if self._clips is None:
            self._clips = sorted(self._known)
        return self._clips

    def lacks(self, digest: str) -> list[str]:
        """The clips that candidates with this digest did not score."""
        if digest not in self._lacking:
            self._lacking[digest] = sorted(set(self._known) - set(self._lists[digest]))
        return self._lacking[digest]

    def alignment(self, digest: str) -> tuple[Any, Any]:
        """(positions in the candidate's own order, columns of the matrix)."""
        clips = self.clips
        if digest not in self._alignments:
            column = {clip: index for index, clip in enumerate(clips)}
            pairs = [(i, column[clip]) for i, clip in enumerate(self._lists[digest]) if clip in column]
            if pairs == [(i, i) for i in range(len(clips))]:
                self._alignments[digest] = (slice(None), slice(None))
            else:
                source, target = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
                self._alignments[digest] = (source, target)
        return self._alignments[digest]

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        clips = self.clips
        return pd.DataFrame({"clip": clips, **{fact: [self._known[clip][fact] for clip in clips] for fact in FACTS}})
