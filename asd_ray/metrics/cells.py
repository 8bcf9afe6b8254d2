"""The cells (AUC and pAUC of a year's units) of many candidates at once, for one machine.

This is what selecting an ensemble needs: thousands of candidates over the same clips, each sorted once a section.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import AsdRayError
from asd_ray.metrics import _pairs
from asd_ray.metrics.curve import MAX_FPR, auc_of, pauc_of
from asd_ray.metrics.labels import binary
from asd_ray.metrics.means import hmean
from asd_ray.metrics.years import check_year

DOMAINS = ("source", "target")


@dataclass(frozen=True)
class Unit:
    """Clips that are sorted together, and the cells that come of it."""

    columns: npt.NDArray[np.int64]
    group: npt.NDArray[np.int8]  # of each of the columns, as `_pairs.count` takes it
    aucs: tuple[str, ...]  # the cell of each group's AUC
    pauc: str


@dataclass(frozen=True)
class Cells:
    """The cells of some clips, for whoever judges scores of the same clips again and again."""

    units: tuple[Unit, ...]
    clips: int

    @classmethod
    def of(cls, clips: pd.DataFrame, year: int | None) -> Cells:
        """`clips` and `year` as `cells_batch` takes them."""
        return cls(tuple(_units(clips, 2020 if year is None else check_year(year))), len(clips))

    @property
    def names(self) -> list[str]:
        return [name for unit in self.units for name in (*unit.aucs, unit.pauc)]

    def __call__(self, scores: npt.ArrayLike) -> _pairs.Floats:
        """[candidates, cells]"""
        given = _pairs.matrix(scores, self.clips)
        out = np.empty((len(given), len(self.names)))
        for first, block in _pairs.chunks(given):
            values = [value for unit in self.units for value in _values(unit, block)]
            out[first : first + len(block)] = np.stack(values, axis=1)
        return out


def cells_batch(clips: pd.DataFrame, scores: npt.ArrayLike, year: int | None) -> tuple[list[str], _pairs.Floats]:
    """Names of the cells, such as ``00/auc_source``, and the array [candidates, cells].

    `clips` are the scored clips of one machine, in the order of the columns of `scores` [candidates, clips], with
    the columns id, domain and label (0 and 1, or normal and anomaly). The year says what a cell is (`DEFINITIONS`);
    None, for machines of no DCASE year, means AUC and pAUC per id as in 2020.
    """
    cells = Cells.of(clips, year)
    return cells.names, cells(scores)


def objective(clips: pd.DataFrame, scores: npt.ArrayLike, year: int | None) -> _pairs.Floats:
    """The harmonic mean of the year's cells, one number a candidate: what ranks candidates within one machine."""
    _, cells = cells_batch(clips, scores, year)
    return np.asarray(hmean(cells, axis=1))


def _values(unit: Unit, block: _pairs.Floats) -> Iterator[_pairs.Floats]:
    pairs = _pairs.count(np.take(block, unit.columns, axis=1), unit.group)
    for group in range(len(unit.aucs)):
        yield auc_of(pairs, group)
    yield pauc_of(pairs, MAX_FPR)


def _units(clips: pd.DataFrame, year: int) -> Iterator[Unit]:
    label = binary(clips["label"].to_numpy())
    ids, domain = clips["id"].to_numpy().astype(str), clips["domain"].to_numpy().astype(str)
    if not len(clips):
        raise AsdRayError("there are no clips to score; give at least one normal and one anomalous clip")
    stray = sorted(set(domain) - set(DOMAINS))
    if year > 2020 and stray:
        raise AsdRayError(f"{year} knows the domains source and target but a clip has {str(stray[0])!r}; {_CURE}")
    for each in sorted(set(ids)):
        here = ids == each
        if year == 2020:
            yield _unit(each, here, label, [label == 0], ("auc",), "pauc")
        elif year == 2021:
            for name in DOMAINS:
                its = here & (domain == name)
                yield _unit(each, its, label, [label == 0], (f"auc_{name}",), f"pauc_{name}")
        else:
            quiet = [(label == 0) & (domain == name) for name in DOMAINS]
            yield _unit(each, here, label, quiet, tuple(f"auc_{name}" for name in DOMAINS), "pauc")


def _unit(
    each: str,
    here: npt.NDArray[np.bool_],
    label: npt.NDArray[np.int8],
    quiet: list[npt.NDArray[np.bool_]],
    aucs: tuple[str, ...],
    pauc: str,
) -> Unit:
    group = np.full(len(label), -1, dtype=np.int8)
    group[label == 1] = _pairs.ANOMALY
    for number, normals in enumerate(quiet):
        group[normals] = number
        if not (here & normals).any():
            raise AsdRayError(f"{each}/{aucs[number]} has no normal clip; {_CURE}")
    if not (here & (label == 1)).any():
        raise AsdRayError(f"{each}/{aucs[0]} has no anomalous clip; {_CURE}")
    columns = np.flatnonzero(here)
    return Unit(columns, group[columns], tuple(f"{each}/{name}" for name in aucs), f"{each}/{pauc}")


_CURE = "leave that id out, or score by a year whose cells these clips fill (2020 knows no domains)"
