"""Scores of an ensemble: its members' scores from the ledger, standardised and combined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.result import Ensemble
from asd_ray.errors import AsdRayError

if TYPE_CHECKING:
    import pandas as pd

    from asd_ray.ledger import Ledger

Floats = npt.NDArray[np.float64]


def scores_of(ledger: Ledger, ensemble: Ensemble) -> pd.DataFrame:
    """The ensemble's scores, computed from the ledger: clip, id, domain, label, split, score.

    The clips are the test clips, if there are any, and the normal clips whose scores standardise the ensemble.
    """
    import pandas as pd

    members = members_of(ledger, ensemble)
    statistics = ensemble.statistics.learned(ensemble.recipe.standardise)
    weights = [member.weight for member in ensemble.members]
    parts = [(members.clips, members.scores, "test")] if len(members.clips) else []
    if members.by != "test":
        parts.append((members.normal, members.normal_scores, members.by))
    tables = [
        clips.assign(split=split, score=combined(ensemble.recipe, statistics(scores, clips), weights, members, clips))
        for clips, scores, split in parts
    ]
    return pd.concat(tables, ignore_index=True)


def own_scores(ensemble: Ensemble, members: Candidates) -> Floats:
    """The ensemble's scores of the test clips of its `members`, which are in its order."""
    units = ensemble.statistics.learned(ensemble.recipe.standardise)(members.scores, members.clips)
    weights = [member.weight for member in ensemble.members]
    return combined(ensemble.recipe, units, weights, members, members.clips)


def combined(recipe: Recipe, scores: Floats, weights: list[float], members: Candidates, clips: pd.DataFrame) -> Floats:
    """Combine standardised scores of `members`. The message on a missing score names its member and clip."""
    names = [members.label(row) for row in range(len(members))]
    return combine(scores, recipe.combine[0], weights, names=names, clips=clips["clip"].tolist())


def members_of(ledger: Ledger, ensemble: Ensemble) -> Candidates:
    """The ledger's scores of the ensemble's members, in the ensemble's order."""
    only: dict[str, list[str]] = {}
    for member in ensemble.members:
        only.setdefault(member.trial, []).append(member.variant)
    candidates = load(ledger, ensemble.machine, ensemble.recipe.by, only=only)
    if candidates.fingerprint != ensemble.dataset.fingerprint:
        raise AsdRayError(
            f"{ensemble.machine}: the ledger's trials have other clips ({candidates.fingerprint[:8]}) than the "
            f"ensemble's ({ensemble.dataset.fingerprint[:8]}); choose the ensemble again"
        )
    place = {pair: row for row, pair in enumerate(candidates.pairs)}
    return candidates.take([place[member.pair] for member in ensemble.members])
