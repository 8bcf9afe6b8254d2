"""The clips that a number was measured on: the unseen ones, or the labelled test clips."""

from __future__ import annotations

import pandas as pd

from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.protocols.unseen import Unseen
from asd_ray.metrics import EvaluableClips


def measured_clips(members: Candidates, protocol: str | None) -> tuple[pd.DataFrame, EvaluableClips]:
    """The clips of a protocol's number, and what counts among the clips that they were taken from."""
    clips, judged = members.clips, members.judged
    if protocol == Unseen.name and members.unseen is not None:
        clips, judged = members.unseen.clips, members.unseen.judged(members.year)
    return clips.iloc[judged.rows].reset_index(drop=True), judged


def counts_of_cells(members: Candidates, protocol: str | None) -> dict[str, tuple[int, int]]:
    """How many normal clips and anomalies each cell of a protocol's number compares."""
    clips, judged = measured_clips(members, protocol)
    return CellScorer(clips, judged.year).counts()
