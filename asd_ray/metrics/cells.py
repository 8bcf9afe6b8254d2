"""The cells (AUC and pAUC values of a year's rule) of many candidates at once, for one machine.

Choosing an ensemble needs this: thousands of candidates over the same clips, each sorted once per section.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics._pairs import ANOMALY, Floats, chunks, count, matrix
from asd_ray.metrics.binary_labels import binary
from asd_ray.metrics.curve import MAX_FPR, auc_of, pauc_of
from asd_ray.metrics.editions import PER_ID, CellGroup, scored_edition
from asd_ray.metrics.means import hmean


@dataclass(frozen=True)
class RankedClips:
    """Clips that are sorted together, and the cells computed from their order."""

    columns: npt.NDArray[np.int64]
    group: npt.NDArray[np.int8]  # of each of the columns, as `count` takes it
    aucs: tuple[str, ...]  # the cell of each group's AUC
    pauc: str

    @property
    def anomalies(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.columns[self.group == ANOMALY])

    def normals(self, group: int | None = None) -> npt.NDArray[np.int64]:
        """The normal clips of a group's AUC, or all of them, which the pAUC takes."""
        return np.asarray(self.columns[self.group != ANOMALY if group is None else self.group == group])


@dataclass(frozen=True)
class Cells:
    """The cells of some clips, prepared once for scoring the same clips many times."""

    ranked: tuple[RankedClips, ...]
    clips: int

    @classmethod
    def of(cls, clips: pd.DataFrame, year: int | None) -> Cells:
        """`clips` and `year` as `cells_batch` takes them."""
        return cls(tuple(_ranked_clips(clips, year)), len(clips))

    @property
    def names(self) -> list[str]:
        return [name for ranked in self.ranked for name in (*ranked.aucs, ranked.pauc)]

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """[candidates, cells]"""
        candidates = matrix(scores, self.clips)
        out = np.empty((len(candidates), len(self.names)))
        for first, block in chunks(candidates):
            values = [value for ranked in self.ranked for value in _values(ranked, block)]
            out[first : first + len(block)] = np.stack(values, axis=1)
        return out


def cells_batch(clips: pd.DataFrame, scores: npt.ArrayLike, year: int | None) -> tuple[list[str], Floats]:
    """Names of the cells, such as ``00/auc_source``, and the array [candidates, cells].

    `clips` are the scored clips of one machine, in the order of the columns of `scores` [candidates, clips], with
    the columns id, domain and label (0 and 1, or normal and anomaly). The year's edition defines what a cell is;
    None, for machines of no DCASE year, means AUC and pAUC per id as in 2020.
    """
    cells = Cells.of(clips, year)
    return cells.names, cells(scores)


def objective(clips: pd.DataFrame, scores: npt.ArrayLike, year: int | None) -> Floats:
    """The harmonic mean of the year's cells, one number per candidate: it ranks candidates within one machine."""
    _, cells = cells_batch(clips, scores, year)
    return np.asarray(hmean(cells, axis=1))


def _values(ranked: RankedClips, block: Floats) -> Iterator[Floats]:
    pairs = count(np.take(block, ranked.columns, axis=1), ranked.group)
    for group in range(len(ranked.aucs)):
        yield auc_of(pairs, group)
    yield pauc_of(pairs, MAX_FPR)


def _ranked_clips(clips: pd.DataFrame, year: int | None) -> Iterator[RankedClips]:
    rule = PER_ID if year is None else scored_edition(year).cells
    label = binary(clips["label"].to_numpy())
    ids, domain = clips["id"].to_numpy().astype(str), clips["domain"].to_numpy().astype(str)
    if not len(clips):
        raise AsdRayError("there are no clips to score; give at least one normal and one anomalous clip")
    stray = sorted(set(domain) - set(rule.domains))
    if rule.domains and stray:
        known = " and ".join(rule.domains)
        raise AsdRayError(f"{year} knows the domains {known} but a clip has {str(stray[0])!r}; {_CURE}")
    for id in sorted(set(ids)):
        for group in rule.groups:
            members = (ids == id) if group.domain is None else (ids == id) & (domain == group.domain)
            yield _ranked(id, group, members, label, domain)


def _ranked(
    id: str,
    rule: CellGroup,
    members: npt.NDArray[np.bool_],
    label: npt.NDArray[np.int8],
    domain: npt.NDArray[np.str_],
) -> RankedClips:
    group = np.full(len(label), -1, dtype=np.int8)
    group[label == 1] = ANOMALY
    for number, (name, of_normals) in enumerate(rule.aucs):
        normals = (label == 0) if of_normals is None else (label == 0) & (domain == of_normals)
        group[normals] = number
        if not (members & normals).any():
            raise AsdRayError(f"{id}/{name} has no normal clip; {_CURE}")
    if not (members & (label == 1)).any():
        raise AsdRayError(f"{id}/{rule.aucs[0][0]} has no anomalous clip; {_CURE}")
    columns = np.flatnonzero(members)
    return RankedClips(columns, group[columns], tuple(f"{id}/{name}" for name, _ in rule.aucs), f"{id}/{rule.pauc}")


_CURE = "leave that id out, or score by a year whose cells these clips fill (2020 knows no domains)"
