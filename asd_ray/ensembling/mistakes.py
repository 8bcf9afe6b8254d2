"""The test clips that a machine's ensembles decide wrongly most often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling._part import Part
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.ensembling.result import Ensemble
from asd_ray.ensembling.scoring import own_scores

MOST = 10  # clips per machine
NORMAL, ANOMALY = "normal", "anomaly"
MISSED, FALSE_ALARM = "missed", "false alarm"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClipDecision(Part):
    """What the final ensemble decided about a test clip, and how many ensembles decided it wrongly."""

    clip: str
    id: str
    domain: str
    label: str
    score: float  # of the final ensemble
    decision: str  # of the final ensemble: NORMAL or ANOMALY
    mistake: str  # MISSED or FALSE_ALARM, of those ensembles that are wrong; "" without labels
    wrong: int  # ensembles that decide wrongly, each with its own threshold; 0 without labels


@dataclass(frozen=True)
class Mistakes(Part):
    """The clips of one machine that are most often wrong; without labels those with the highest scores."""

    labelled: bool
    threshold: float  # of the final ensemble
    clips: tuple[ClipDecision, ...]  # at most MOST, the worst first
    ensembles: tuple[str, ...]  # names of the stored ensembles that were counted
    not_counted: tuple[str, ...]  # names of those of other clips or candidates

    @property
    def title(self) -> str:
        return "Clips that ensembles most often get wrong" if self.labelled else "Test clips with the highest scores"


def mistakes(candidates: Candidates, ensembles: Mapping[str, Ensemble]) -> Mistakes:
    """Find the clips by `ensembles`, file name -> stored ensemble of the machine; FINAL is one of them.

    `candidates` has at least the members of the final ensemble. Clips that most ensembles decide wrongly come first;
    of equal counts, those whose final score is farthest on the wrong side of the threshold. Missed anomalies and false
    alarms are in one list. A clip that every ensemble decides correctly is never in it.
    """
    final = ensembles[FINAL]
    counted, not_counted = _counted(candidates, ensembles)
    labels, clips = candidates.clips["label"].to_numpy().astype(str), candidates.clips
    scores = _scores(candidates, final)
    alarm = scores > final.threshold.value
    labelled = np.isin(labels, (NORMAL, ANOMALY))
    wrong = np.zeros(len(clips), np.intp)
    if labelled.any():
        for ensemble in counted.values():
            alarms = _scores(candidates, ensemble) > ensemble.threshold.value
            wrong += labelled & (alarms != (labels == ANOMALY))
        beyond = np.where(labels == ANOMALY, -1, 1) * (scores - final.threshold.value)
        order = np.lexsort((-beyond, -wrong))
        order = order[labelled[order] & ((wrong[order] > 0) | (alarm != (labels == ANOMALY))[order])]
    else:
        order = np.argsort(-scores, kind="stable")
    return Mistakes(
        labelled=bool(labelled.any()),
        threshold=final.threshold.value,
        clips=tuple(
            ClipDecision(
                clip=str(clips["clip"].iat[row]),
                id=str(clips["id"].iat[row]),
                domain=str(clips["domain"].iat[row]),
                label=str(labels[row]),
                score=float(scores[row]),
                decision=ANOMALY if alarm[row] else NORMAL,
                mistake={ANOMALY: MISSED, NORMAL: FALSE_ALARM}.get(str(labels[row]), ""),
                wrong=int(wrong[row]),
            )
            for row in order[:MOST].tolist()
        ),
        ensembles=tuple(counted),
        not_counted=tuple(not_counted),
    )


def _counted(candidates: Candidates, ensembles: Mapping[str, Ensemble]) -> tuple[dict[str, Ensemble], list[str]]:
    """The ensembles that can be counted, and the names of the others. The final one is a copy of a recipe's."""
    final, pairs = ensembles[FINAL], set(candidates.pairs)
    counted, not_counted = dict[str, Ensemble](), list[str]()
    for name, ensemble in sorted(ensembles.items()):
        if name == FINAL:
            continue
        known = {member.pair for member in ensemble.members} <= pairs
        if known and ensemble.dataset.fingerprint == final.dataset.fingerprint:
            counted[name] = ensemble
        else:
            not_counted.append(name)
    own = counted.get(final.name)
    if own is None or (own.members, own.threshold) != (final.members, final.threshold):
        counted[FINAL] = final
    return counted, not_counted


def _scores(candidates: Candidates, ensemble: Ensemble) -> Floats:
    """The ensemble's scores of the test clips."""
    place = {pair: row for row, pair in enumerate(candidates.pairs)}
    return own_scores(ensemble, candidates.take([place[member.pair] for member in ensemble.members]))
