"""The value that choosing maximises: the harmonic mean of cells of AUC, of pAUC, or of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.errors import unknown
from asd_ray.metrics import Cells, hmean

Floats = npt.NDArray[np.float64]
ClipPositions = npt.NDArray[np.int64]
MAXIMISE = ("hmean", "auc", "pauc")
DIGITS = 6  # values are rounded to these before they are compared, so that rounding errors decide nothing


@dataclass(frozen=True)
class CellScorer:
    """Values of scores [candidates, clips] of labelled `clips`, by the cells of `year`."""

    clips: pd.DataFrame
    year: int | None
    maximise: str = "hmean"

    def __post_init__(self) -> None:
        if self.maximise not in MAXIMISE:
            raise unknown("measure to maximise", self.maximise, MAXIMISE)

    @cached_property
    def _cells(self) -> Cells:
        return Cells.of(self.clips, self.year)

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """One value for each candidate."""
        columns = [at for at, name in enumerate(self._cells.names) if self.maximise in ("hmean", kind_of(name))]
        return np.asarray(hmean(self._cells(scores)[:, columns], axis=1))

    def cells(self, scores: npt.ArrayLike) -> dict[str, float]:
        """The cells of one row of scores, and the harmonic means of AUC, of pAUC and of all: auc, pauc, hmean."""
        values = self._cells(np.asarray(scores)[None])[0].tolist()
        cells = dict(zip(self._cells.names, values, strict=True))
        return cells | means(cells)

    def clips_of_cells(self) -> Iterator[tuple[ClipPositions, ClipPositions, bool]]:
        """The clips of each cell that is maximised: its anomalies, its normal clips, and whether it is a pAUC."""
        for ranked in self._cells.ranked:
            if self.maximise != "pauc":
                for number in range(len(ranked.aucs)):
                    yield ranked.anomalies, ranked.normals(number), False
            if self.maximise != "auc":
                yield ranked.anomalies, ranked.normals(), True

    def counts(self) -> dict[str, tuple[int, int]]:
        """How many normal clips and anomalies each cell compares, by its name."""
        counts: dict[str, tuple[int, int]] = {}
        for ranked in self._cells.ranked:
            for number, name in enumerate(ranked.aucs):
                counts[name] = len(ranked.normals(number)), len(ranked.anomalies)
            counts[ranked.pauc] = len(ranked.normals()), len(ranked.anomalies)
        return counts

    def of(self, clips: npt.NDArray[np.bool_]) -> CellScorer:
        """The scorer of some of the clips."""
        return CellScorer(self.clips[clips].reset_index(drop=True), self.year, self.maximise)


def kind_of(cell: str) -> str:
    """``00/pauc_source`` -> pauc"""
    return "pauc" if cell.rpartition("/")[2].startswith("pauc") else "auc"


def in_words(cell: str) -> str:
    """``00/pauc_source`` -> pAUC of id 00, source domain"""
    id, _, measured = cell.rpartition("/")
    domain = measured.partition("_")[2]
    kind = {"auc": "AUC", "pauc": "pAUC"}[kind_of(cell)]
    return f"{kind} of id {id}{f', {domain} domain' if domain else ''}"


def means(cells: dict[str, float]) -> dict[str, float]:
    by_kind = {kind: [value for name, value in cells.items() if kind_of(name) == kind] for kind in ("auc", "pauc")}
    return {kind: hmean(values) for kind, values in by_kind.items()} | {"hmean": hmean(list(cells.values()))}


def strata_of(clips: pd.DataFrame) -> dict[str, npt.NDArray[np.intp]]:
    """Positions of the clips of each id, domain and label, by a name such as ``00/source/normal``."""
    names = (clips["id"] + "/" + clips["domain"] + "/" + clips["label"]).to_numpy().astype(str)
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
