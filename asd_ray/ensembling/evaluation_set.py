"""The data of choosing and measuring: standardised scores of all candidates on the labelled test clips."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.ensembling.budget import Budget
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.combine import TRANSDUCTIVE, combine
from asd_ray.ensembling.costs import Costs
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.standardise import Standardiser, Statistics

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EvaluationSet:
    """The labelled test clips of one machine, and the standardised scores of its candidates on them."""

    candidates: Candidates
    statistics: Statistics
    rows: npt.NDArray[np.intp]  # rows of the labelled clips among the candidates' clips
    ranked: npt.NDArray[np.intp]  # rows of the clips that ranks are among: these and the test clips that are not judged
    scorer: CellScorer
    scores: Floats  # [candidates, labelled clips]
    budget: Budget  # of the candidates
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # see remembered

    @classmethod
    def of(cls, candidates: Candidates, standardiser: Standardiser, maximise: str = "hmean") -> EvaluationSet:
        """Standardise the scores. Raises an AsdRayError if no id has both normal and anomalous clips."""
        judged = candidates.judged
        statistics = standardiser.learn(candidates.normal_scores, candidates.normal)
        clips = candidates.clips.iloc[judged.rows].reset_index(drop=True)
        scorer = CellScorer(clips, judged.year, maximise)
        scores = statistics(candidates.scores[:, judged.rows], clips)
        return cls(
            candidates, statistics, judged.rows, np.arange(len(candidates.clips)), scorer, scores, candidates.budget
        )

    def within(self, costs: Costs, limit: float) -> EvaluationSet:
        """The same scores, to choose from with other costs and another limit on them; itself if these are its own."""
        if (costs, limit) == (self.candidates.costs, self.candidates.limit):
            return self
        candidates = replace(self.candidates, costs=costs, limit=limit)
        return replace(self, candidates=candidates, budget=candidates.budget)

    def remembered(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """A result that several recipes or protocols ask for, computed once."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def alone(self, clips: Mask) -> Floats:
        """The value of each candidate alone, by some of the clips."""
        key = "alone", clips.tobytes()
        if clips.all():
            return np.asarray(self.remembered(key, lambda: self.scorer(self.scores)))
        return np.asarray(self.remembered(key, lambda: self.scorer.of(clips)(self.scores[:, clips])))

    @property
    def ids(self) -> npt.NDArray[np.str_]:
        """The id of each clip."""
        return self.scorer.clips["id"].to_numpy().astype(str)

    @property
    def all_clips(self) -> Mask:
        return np.ones(len(self.rows), bool)


def ensemble_scores(
    evaluation: EvaluationSet, recipe: Recipe, selection: Selection, clips: Mask, *, rescaled: bool
) -> Floats:
    """Scores of `clips` by the selected members.

    `rescaled`: they are standardised by the ensemble's scores of all labelled clips of their id.
    """
    if recipe.combine[0] in TRANSDUCTIVE:
        scores = scores_among_test_clips(evaluation, recipe, selection)
    else:
        scores = combine(evaluation.scores[list(selection.members)], recipe.combine[0], selection.weights)
    if rescaled:
        statistics = Standardiser("z", "id", floor=0.0).learn(scores[None], evaluation.scorer.clips)
        scores = statistics(scores[None], evaluation.scorer.clips)[0]
    return np.asarray(scores[clips])


def scores_among_test_clips(evaluation: EvaluationSet, recipe: Recipe, selection: Selection) -> Floats:
    """Scores of the labelled clips as the ensemble gives them: ranks are among all test clips, labelled or not.

    They can be compared with the threshold if the evaluation set has all labelled clips.
    """
    members, candidates, rows = list(selection.members), evaluation.candidates, evaluation.ranked
    units = evaluation.statistics.take(members)(candidates.scores[members][:, rows], candidates.clips.iloc[rows])
    together = combine(units, recipe.combine[0], selection.weights)
    return np.asarray(together[np.searchsorted(rows, evaluation.rows)])
