"""unseen: chosen on the test clips and measured once on labelled clips that neither search nor choice has seen.

The clips are those that ``search --keep-unseen`` set aside. They get the statistics, weights and combination of the
ensemble as it was chosen on all test clips. The search's own use of labels cannot flatter this number.
"""

from __future__ import annotations

from asd_ray.ensembling.cell_scorer import CellScorer
from asd_ray.ensembling.combine import combine
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols._base import Measurement, measurement_of, select_whole
from asd_ray.ensembling.recipe import Recipe
from asd_ray.errors import AsdRayError


class Unseen:
    name = "unseen"
    sentence = "chosen without the clips that it is measured on, which the search did not see either"
    forecasts = True

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        unseen = evaluation.candidates.unseen
        return unseen is not None and not unseen.reason_against(evaluation.candidates.year)

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        unseen = evaluation.candidates.unseen
        if unseen is None:
            raise AsdRayError("no unseen clips were set aside; search with --keep-unseen 0.5")
        selection = select_whole(evaluation, recipe, config)
        members = list(selection.members)
        judged = unseen.judged(evaluation.candidates.year)
        clips = unseen.clips.iloc[judged.rows].reset_index(drop=True)
        scores = evaluation.statistics.take(members)(unseen.scores(members)[:, judged.rows], clips)
        together = combine(scores, recipe.combine[0], selection.weights)
        maximise = evaluation.scorer.maximise
        scorer: CellScorer = evaluation.remembered(self.name, lambda: CellScorer(clips, judged.year, maximise))
        return measurement_of(self.name, together[None], scorer, [selection])
