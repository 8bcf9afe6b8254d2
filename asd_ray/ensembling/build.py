"""Build an ensemble from candidates and a recipe: choose members, combine them, and measure under every protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from asd_ray.ensembling import protocols
from asd_ray.ensembling.candidates import CONSTANT, UNTIMED, Candidates, LeftOut, load
from asd_ray.ensembling.combine import TRANSDUCTIVE
from asd_ray.ensembling.config import EnsembleConfig
from asd_ray.ensembling.costs import Timer
from asd_ray.ensembling.deciding import ensemble_threshold
from asd_ray.ensembling.evaluation_set import EvaluationSet, scores_among_test_clips
from asd_ray.ensembling.greedy import Selection
from asd_ray.ensembling.label_free import criterion_notes, without_labels
from asd_ray.ensembling.measuring import best_single, measurements, metrics_of
from asd_ray.ensembling.metric import Decisions, Metrics
from asd_ray.ensembling.protocols import Measurement
from asd_ray.ensembling.protocols.crossval import fewest_clips
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.requirements import check
from asd_ray.ensembling.result import (
    CandidatesSummary,
    DatasetInfo,
    Ensemble,
    Member,
    SelectionFrequency,
    StoredStatistics,
    TrailStep,
)
from asd_ray.ensembling.standardise import Statistics
from asd_ray.ensembling.timing import with_costs, within_limit
from asd_ray.ensembling.trust import with_warnings
from asd_ray.ensembling.unmeasured import why_unmeasured
from asd_ray.errors import AsdRayError
from asd_ray.metrics import detection

if TYPE_CHECKING:
    from asd_ray.ledger import Ledger

PACKAGES = ("asd_ray", "numpy", "pandas", "scipy", "pyarrow")
SHOWN = 3  # names in a note on candidates without costs


def build(
    candidates: Candidates,
    recipe: Recipe,
    config: EnsembleConfig,
    single: Mapping[str, Measurement] | None = None,
    evaluation: EvaluationSet | None = None,
) -> Ensemble:
    """The ensemble of a recipe that combines in one way.

    `single` holds the measurements of the best single candidate, and `evaluation` the candidates' scores in the unit of
    the recipe. By default they are computed here.
    """
    candidates = without_constants(candidates)
    if config.infer_limit is not None and candidates.costs is None:
        raise AsdRayError("infer_limit needs the costs of the candidates; choose with run.ensemble(…, infer_limit=…)")
    check(recipe, candidates)
    if not candidates.labelled:
        return _unmeasured(candidates, recipe, config)
    if evaluation is None:
        evaluation = EvaluationSet.of(candidates, recipe.standardise, config.maximise)
    by_protocol = measurements(evaluation, recipe, config)
    single = measurements(evaluation, best_single(recipe), config) if single is None else single
    selection = by_protocol["label_free" if "label_free" in by_protocol else "oracle"].selections[0]
    ensemble = _described(candidates, recipe, config, selection, evaluation.statistics)
    metrics, gains = metrics_of(evaluation, by_protocol, single, config)
    scores = scores_among_test_clips(evaluation, recipe, selection)
    labels = evaluation.scorer.clips["label"].to_numpy()
    decisions = Decisions(**detection(labels, scores > ensemble.threshold.value)._asdict())
    trail = enumerate(selection.trail, 1)
    measured = replace(
        ensemble,
        metrics=replace(metrics, decisions=decisions),
        trail=tuple(TrailStep(step, **_named(candidates, row), value=value) for step, (row, value) in trail),
        selection_frequency=_frequencies(candidates, by_protocol),
        notes=(*ensemble.notes, *candidates.judged.notes, *_fold_notes(evaluation, config), *_unseen_notes(candidates)),
        resampled_gains=tuple(gains["crossval"].tolist()) if "crossval" in gains else None,
    )
    return with_warnings(measured, candidates)


class Builder:
    """Builds ensembles of one machine; loads its candidates and measures the best single one once for many recipes."""

    def __init__(
        self,
        ledger: Ledger,
        machine: str,
        config: EnsembleConfig,
        *,
        drop: bool = False,
        timer: Timer | None = None,
    ) -> None:
        """`timer` measures the costs of candidates where `config` has an `infer_limit`."""
        self.machine, self.config = machine, config
        self._timer = timer if config.infer_limit is not None else None
        self._ledger, self._drop = ledger, drop
        self._candidates: dict[str, Candidates] = {}
        self._singles: dict[Any, Mapping[str, Measurement]] = {}
        self._evaluations: dict[Any, EvaluationSet] = {}

    def candidates(self, by: str) -> Candidates:
        if by not in self._candidates:
            candidates = without_constants(load(self._ledger, self.machine, by, drop=self._drop))
            if self._timer and self.config.infer_limit is not None:
                candidates = with_costs(candidates, self._timer, self.config.infer_limit)
            self._candidates[by] = candidates
        return self._candidates[by]

    @property
    def computer(self) -> str:
        """The computer on which costs are measured; "" if none are."""
        return self._timer.computer if self._timer else ""

    def evaluation(self, recipe: Recipe) -> EvaluationSet:
        """The candidates' scores of labelled clips in the recipe's unit; the same object for recipes of one unit."""
        key = (recipe.by, recipe.standardise)
        if key not in self._evaluations:
            candidates = self.candidates(recipe.by)
            self._evaluations[key] = EvaluationSet.of(candidates, recipe.standardise, self.config.maximise)
        return self._evaluations[key]

    def evaluation_of(self, ensemble: Ensemble) -> EvaluationSet:
        """The scores that an ensemble was chosen by, with the budget that it was chosen within."""
        evaluation, inference = self.evaluation(ensemble.recipe), ensemble.inference
        return evaluation.within(inference.costs, inference.budget) if inference else evaluation

    def single(self, recipe: Recipe) -> Mapping[str, Measurement]:
        """The measurements of the best single candidate in the recipe's unit."""
        key = (recipe.by, recipe.standardise)
        if key not in self._singles:
            self._singles[key] = measurements(self.evaluation(recipe), best_single(recipe), self.config)
        return self._singles[key]

    def __call__(self, recipe: Recipe) -> Ensemble:
        candidates = self.candidates(recipe.by)
        check(recipe, candidates)
        if candidates.labelled:
            ensemble = build(candidates, recipe, self.config, self.single(recipe), self.evaluation(recipe))
        else:
            ensemble = build(candidates, recipe, self.config)
        if self._timer is None:
            return ensemble
        return within_limit(ensemble, candidates, self._timer, lambda fewer: build(fewer, recipe, self.config))


def without_constants(candidates: Candidates) -> Candidates:
    """Leave out and name the candidates that give all test clips one score: such scores have no unit.

    A machine that has no test clips, or a single one, is checked on its normal clips.
    """
    scores, which = candidates.scores, "test"
    if scores.shape[1] < 2:
        scores, which = candidates.normal_scores, "normal"
    varies = np.ptp(scores, axis=1) > 0
    if varies.all():
        return candidates
    if not varies.any():
        raise AsdRayError(
            f"{candidates.machine}: every candidate gives all {which} clips one score: the detectors learned nothing"
        )
    rows = candidates.table[~varies]
    left_out = tuple(map(LeftOut, rows["name"], rows["family"], rows["variant"], [CONSTANT] * len(rows)))
    return replace(candidates.take(np.flatnonzero(varies)), left_out=candidates.left_out + left_out)


def _described(
    candidates: Candidates, recipe: Recipe, config: EnsembleConfig, selection: Selection, statistics: Statistics
) -> Ensemble:
    """The ensemble without the parts that need labels."""
    rows, weights = list(selection.members), list(selection.weights)
    members, own = candidates.take(rows), statistics.take(rows)
    transductive = recipe.by == "test" or recipe.combine[0] in TRANSDUCTIVE
    label_free = not recipe.uses_labels
    return Ensemble(
        machine=candidates.machine,
        recipe=recipe,
        config=config,
        dataset=DatasetInfo(candidates.dataset, candidates.fingerprint, candidates.year),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        members=tuple(_member(members, row, weight) for row, weight in enumerate(weights)),
        combine=recipe.combine[0],
        statistics=StoredStatistics.of(own),
        threshold=ensemble_threshold(members, recipe, config, weights, own),
        metrics=Metrics({}),
        trail=(),
        selection_frequency=(),
        candidates=_summary(candidates),
        transductive=transductive,
        labels=protocols.find("label_free" if label_free else "oracle").sentence,
        notes=(*_notes(candidates, members, transductive), *criterion_notes(recipe, candidates)),
    )


def _unmeasured(candidates: Candidates, recipe: Recipe, config: EnsembleConfig) -> Ensemble:
    statistics = recipe.standardise.learn(candidates.normal_scores, candidates.normal)
    selection = without_labels(recipe, candidates)
    ensemble = _described(candidates, recipe, config, selection, statistics)
    unmeasured = replace(ensemble, notes=(*ensemble.notes, why_unmeasured(candidates.clips)))
    return with_warnings(unmeasured, candidates)


class _Name(TypedDict):
    name: str
    family: str
    variant: str


def _named(candidates: Candidates, row: int) -> _Name:
    values = candidates.table.iloc[row]
    return {"name": values["name"], "family": values["family"], "variant": values["variant"]}


def _member(members: Candidates, row: int, weight: float) -> Member:
    values = members.table.iloc[row]
    number, params = int(values["number"]), values["params"]
    return Member(**_named(members, row), trial=values["trial"], weight=weight, number=number, params=params)


def _summary(candidates: Candidates) -> CandidatesSummary:
    variants: dict[str, tuple[str, ...]] = {}
    for trial, variant in candidates.pairs:
        variants[trial] = (*variants.get(trial, ()), variant)
    return CandidatesSummary(
        tried=len(candidates),
        families=dict(sorted(Counter(candidates.table["family"]).items())),
        left_out=tuple(map(str, candidates.left_out)),
        digest=candidates.digest,
        all=variants,
        guided=bool((candidates.table["guided"] & ~candidates.table["paper"]).any()),
    )


def _notes(candidates: Candidates, members: Candidates, transductive: bool) -> list[str]:
    notes = [f"left out: {candidate}" for candidate in candidates.left_out if candidate.reason != UNTIMED]
    names: dict[str, list[str]] = {}
    for candidate in candidates.left_out:
        if candidate.reason == UNTIMED:
            names.setdefault(candidate.detail, []).append(candidate.name)
    for detail, own in names.items():
        more = f" and {len(own) - SHOWN} more" if len(own) > SHOWN else ""
        notes.append(f"left out: {', '.join(own[:SHOWN])}{more}: {UNTIMED}: {detail}")
    if members.table["peeked"].any():
        notes.append(
            "--checkpoint oracle: test labels chose the epoch of members, so none of the numbers is a forecast"
        )
    if transductive:
        notes.append("transductive: a clip's score depends on other test clips (their scores, not their labels)")
    return notes


def _fold_notes(evaluation: EvaluationSet, config: EnsembleConfig) -> list[str]:
    fewest = fewest_clips(evaluation.scorer)
    if fewest < 2:
        return ["no crossval: an id has fewer than 2 clips of a domain and label"]
    if fewest < config.folds:
        return [f"crossval has {fewest} folds: an id has no more clips of a domain and label"]
    return []


def _unseen_notes(candidates: Candidates) -> list[str]:
    """A note if there are unseen clips that nothing can be measured on."""
    reason = candidates.unseen.reason_against(candidates.year) if candidates.unseen else ""
    return [f"no unseen: {reason}"] if reason else []


def _frequencies(candidates: Candidates, by_protocol: Mapping[str, Measurement]) -> tuple[SelectionFrequency, ...]:
    """The share of crossval's folds that chose each candidate, the most frequent first."""
    if "crossval" not in by_protocol or "label_free" in by_protocol:
        return ()
    folds, pairs = by_protocol["crossval"].selections, candidates.pairs
    counts = Counter(member for selection in folds for member in selection.members)
    return tuple(
        SelectionFrequency(**_named(candidates, row), trial=pairs[row][0], frequency=count / len(folds))
        for row, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _versions() -> dict[str, str]:
    import importlib.metadata  # imported here because it takes a tenth of the start time

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
