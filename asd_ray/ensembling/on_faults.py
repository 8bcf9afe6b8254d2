"""What can be measured without an anomaly: how well scores tell normal clips with an injected fault from normal ones.

The search injects faults into held-out normal clips and stores their scores as the split "fault". Such a value helps to
compare detectors of one machine; it does not forecast how well real faults are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.result import Ensemble
from asd_ray.metrics.injected import fault_aucs, fault_values

if TYPE_CHECKING:
    from asd_ray.ensembling.candidates import Candidates
    from asd_ray.ledger import CandidateMatrix, Ledger

Pair = tuple[str, str]  # trial and variant
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FaultScores:
    """Scores of the held-out normal clips of one machine, and of the same clips with injected faults."""

    pairs: tuple[Pair, ...]  # trial and variant of each row
    normal: Floats  # [candidates, held-out clips]
    normal_clips: pd.DataFrame
    faults: Floats  # [candidates, clips with a fault]
    fault_clips: pd.DataFrame

    @classmethod
    def of(cls, ledger: Ledger, candidates: Candidates) -> FaultScores | None:
        """Those of all candidates that have scores of all clips; None where the search stored none.

        Candidates that held-out clips standardise bring these scores along. For others the ledger is read, and then the
        scores are those of all candidates of the machine.
        """
        return cls._loaded(candidates) if candidates.by == "held_out" else cls._read(ledger, candidates.machine)

    @classmethod
    def _loaded(cls, candidates: Candidates) -> FaultScores | None:
        altered = candidates.faults
        rows = np.array([], int) if altered is None else np.flatnonzero(np.isfinite(altered.scores).all(axis=1))
        if altered is None or not len(rows) or not len(altered.clips):
            return None
        return cls(
            tuple(candidates.pairs[row] for row in rows.tolist()),
            candidates.normal_scores[rows].astype(float),
            candidates.normal,
            altered.scores[rows].astype(float),
            altered.clips,
        )

    @classmethod
    def _read(cls, ledger: Ledger, machine: str) -> FaultScores | None:
        from asd_ray.ledger import candidate_matrix

        splits = [entry.splits for entry in ledger.entries(machine) if entry.record.status == "complete"]
        if not any("fault" in of_trial and "held_out" in of_trial for of_trial in splits):
            return None
        normal, faults = (candidate_matrix(ledger, machine, split, missing="drop") for split in ("held_out", "fault"))
        rows, others = _rows(normal), _rows(faults)
        pairs = tuple(pair for pair in rows if pair in others)
        return cls(
            pairs,
            normal.scores[[rows[pair] for pair in pairs]].astype(float),
            normal.clips,
            faults.scores[[others[pair] for pair in pairs]].astype(float),
            faults.clips,
        )

    def values(self) -> dict[Pair, float]:
        """The value of each candidate, between 0 and 1."""
        own = fault_values(self.normal, self.normal_clips, self.faults, self.fault_clips)
        return dict(zip(self.pairs, own.tolist(), strict=True))

    def of_ensemble(self, ensemble: Ensemble) -> Floats | None:
        """The ensemble's scores of the held-out clips, then of the faults; None if a member has no such scores."""
        place = {pair: row for row, pair in enumerate(self.pairs)}
        if any(member.pair not in place for member in ensemble.members):
            return None
        rows = [place[member.pair] for member in ensemble.members]
        clips = pd.concat([self.normal_clips, self.fault_clips], ignore_index=True)
        units = ensemble.statistics.learned(ensemble.recipe.standardise)(
            np.concatenate([self.normal[rows], self.faults[rows]], axis=1), clips
        )
        return combine(units, ensemble.combine, [member.weight for member in ensemble.members])


@dataclass(frozen=True)
class OnFaults:
    """An ensemble and its members on injected faults."""

    value: float  # of the ensemble, between 0 and 1
    members: tuple[float, ...]
    aucs: dict[str, tuple[float, ...]]  # kind of fault -> AUC of the ensemble, then of each member

    @classmethod
    def of(cls, scores: FaultScores, ensemble: Ensemble) -> OnFaults | None:
        """None if a member has no scores of faults, as those of earlier versions."""
        own = scores.of_ensemble(ensemble)
        if own is None:
            return None
        rows = [scores.pairs.index(member.pair) for member in ensemble.members]
        held_out = len(scores.normal_clips)
        normal = np.vstack([own[None, :held_out], scores.normal[rows]])
        faults = np.vstack([own[None, held_out:], scores.faults[rows]])
        clips = scores.normal_clips, scores.fault_clips
        value, *members = fault_values(normal, clips[0], faults, clips[1]).tolist()
        aucs = fault_aucs(normal, clips[0], faults, clips[1])
        return cls(value, tuple(members), {kind: tuple(each.tolist()) for kind, each in aucs.items()})


def fault_values_of(ledger: Ledger, candidates: Candidates, ensembles: Sequence[Ensemble]) -> dict[str, float]:
    """Name of an ensemble -> its value on injected faults, of those that have one."""
    scores = FaultScores.of(ledger, candidates)
    measured = {} if scores is None else {ensemble.name: OnFaults.of(scores, ensemble) for ensemble in ensembles}
    return {name: found.value for name, found in measured.items() if found is not None}


def _rows(matrix: CandidateMatrix) -> dict[Pair, int]:
    table = matrix.candidates
    return {pair: row for row, pair in enumerate(zip(table["trial"], table["variant"], strict=True))}
