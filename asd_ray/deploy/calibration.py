"""What an ensemble learned from scores of normal clips: the units of its members, its threshold, its usual scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from asd_ray._shapes import DictOf, ListOf, Number, fault, object_of
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.result import Ensemble, StoredStatistics
from asd_ray.ensembling.standardise import LEAST, Statistics
from asd_ray.ensembling.threshold import Threshold, threshold
from asd_ray.errors import AsdRayError

Floats = npt.NDArray[np.float64]
GIVEN = "given"  # the note of a threshold that a user chose
SCORES = DictOf(ListOf(Number(-1e300, 1e300), 1))


@dataclass(frozen=True)
class Calibration:
    """Fixed when a bundle is written; `of_scores` learns it again from new normal clips, without training."""

    statistics: Statistics
    threshold: Threshold
    normal: Mapping[str, Floats]  # id -> the ensemble's scores of its normal clips, ascending; "" for all ids

    @classmethod
    def of_ensemble(cls, ensemble: Ensemble, normal: pd.DataFrame) -> Self:
        """That of an ensemble file. `normal` has the columns id and score: its scores of the clips it learned from."""
        return cls(
            ensemble.statistics.learned(ensemble.recipe.standardise),
            ensemble.threshold,
            _by_id(normal["score"].to_numpy(np.float64), normal["id"].to_numpy(str)),
        )

    @classmethod
    def of_scores(cls, ensemble: Ensemble, raw: Floats, clips: pd.DataFrame) -> Self:
        """Learned from the members' own scores [members, clips] of normal clips with the columns id and domain."""
        statistics = ensemble.recipe.standardise.learn(raw, clips)
        scores = combine(statistics(raw, clips), ensemble.combine, [member.weight for member in ensemble.members])
        limit = threshold(scores, ensemble.config.threshold, ensemble.config.percentile)
        return cls(statistics, limit, _by_id(scores, clips["id"].to_numpy(str)))

    def scores_of(self, id: str) -> Floats:
        """The scores of an id's normal clips; those of all ids if it has fewer than 5, or is unknown."""
        own = self.normal.get(id)
        return own if own is not None and len(own) >= LEAST else self.normal[""]

    def with_threshold(self, value: float) -> Self:
        """The same with another threshold, which a user chose."""
        if not np.isfinite(value):
            raise AsdRayError(f"a threshold must be a finite number but got {value}")
        return replace(self, threshold=Threshold("empirical", self.threshold.percentile, float(value), note=GIVEN))

    def with_false_alarms(self, share: float) -> Self:
        """The same with the threshold that this share of normal clips exceeds, such as 0.01."""
        if not 0 < share < 1:
            raise AsdRayError(f"the share of false alarms must be above 0 and below 1 but got {share:g}, such as 0.01")
        return replace(self, threshold=threshold(self.normal[""], self.threshold.how, 100 * (1 - share)))

    def kept_for_others(self, before: Calibration, ids: Sequence[str]) -> Self:
        """This calibration of `ids`, and `before` for all other ids. Only this one, if it is of all ids."""
        others = {id: scores for id, scores in before.normal.items() if id and id not in ids}
        if not others or self.statistics.standardiser.per == "machine":
            return self
        old, new = before.statistics, self.statistics
        short = [id for id in ids if len(self.normal[id]) < LEAST]
        if short:
            raise AsdRayError(f"id {', '.join(short)}: fewer than {LEAST} normal clips, too few for a calibration")
        kept = [
            at
            for at, name in enumerate(old.groups[:-1])
            if name not in ids and not any(name.startswith(f"{id}/") for id in ids)
        ]
        groups = (*(old.groups[at] for at in kept), *new.groups[:-1], "")
        rows = [
            np.concatenate([earlier[:, kept], later[:, :-1], earlier[:, -1:]], axis=1)
            for earlier, later in ((old.centre, new.centre), (old.scale, new.scale))
        ]
        reference = {
            name: (new if name in new.groups[:-1] else old).reference[name] for name in groups if new.reference
        }
        normal = {**others, **{id: scores for id, scores in self.normal.items() if id}}
        everything = np.sort(np.concatenate(list(normal.values())))
        limit = threshold(everything, before.threshold.how, before.threshold.percentile)
        statistics = Statistics(new.standardiser, groups, rows[0], rows[1], reference)
        return replace(self, statistics=statistics, threshold=limit, normal={**normal, "": everything})

    def to_json(self) -> dict[str, Any]:
        return {
            "statistics": StoredStatistics.of(self.statistics).to_json(),
            "threshold": self.threshold.to_json(),
            "normal": {id: scores.tolist() for id, scores in self.normal.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], ensemble: Ensemble, where: str) -> Self:
        """Read what `to_json` wrote. Its parts have the shape that they have in the file of the ensemble."""
        as_file = {**ensemble.to_json(), "statistics": stored.get("statistics"), "threshold": stored.get("threshold")}
        checked = Ensemble.from_json(as_file, where)
        if problem := fault(object_of(normal=SCORES), {"normal": stored.get("normal")}):
            raise AsdRayError(f"{where}: {problem}")
        if "" not in stored["normal"]:
            raise AsdRayError(f'{where}: normal lacks "", the scores of all ids')
        normal = {id: np.sort(np.array(scores, np.float64)) for id, scores in stored["normal"].items()}
        return cls(checked.statistics.learned(ensemble.recipe.standardise), checked.threshold, normal)


def _by_id(scores: Floats, ids: npt.NDArray[np.str_]) -> dict[str, Floats]:
    by_id = {id: np.sort(scores[ids == id]) for id in sorted(set(ids.tolist())) if id}
    return {**by_id, "": np.sort(scores)}
