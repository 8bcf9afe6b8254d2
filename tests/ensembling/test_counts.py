"""Counts of decisions: under which protocol, by which members, and in the file of the final ensemble."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, build, choose, combine, load, read
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.counting import counts_of
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols import NESTED, measure
from asd_ray.ensembling.verifying import verify
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.metrics import detection
from tests.ensembling.conftest import SMALL, half_labelled
from tests.ensembling.test_budget import ALL, chosen_of, timer_of

Make = Callable[..., Ledger]
QUICK = EnsembleConfig(repeats=1, folds=2, draws=50)


def test_the_sentence_counts_faults_and_false_alarms() -> None:
    labels = ["anomaly"] * 3 + ["normal"] * 2 + ["unknown"]
    counts = DecisionCounts.of("unseen", labels, [True, True, False, True, False, True])
    assert counts == DecisionCounts("unseen", 3, 2, 2, 1)
    assert counts.sentence == "catches 2 of 3 faults at 1 false alarm in 2 normal clips"
    assert counts.ground == "counted on clips that neither the search nor the choice has seen"
    assert DecisionCounts.from_json(counts.to_json()) == counts


@pytest.mark.parametrize(("recipes", "protocol"), [(None, "nested"), (["best_single"], "crossval")])
def test_the_final_ensemble_has_the_counts_of_its_headline(
    ledger_of: Make, recipes: list[str] | None, protocol: str
) -> None:
    ledger = ledger_of(SMALL)
    comparison = choose(ledger, "fan", recipes, QUICK)
    final = read(comparison.path)
    assert final.counts is not None
    assert final.headline_protocol == final.counts.protocol == protocol
    clips = load(ledger, "fan", final.recipe.by).clips
    assert final.counts.anomalies == (clips["label"] == "anomaly").sum()
    assert final.counts.normals == (clips["label"] == "normal").sum()
    assert all(ensemble.counts is None for ensemble in comparison.ensembles)
    assert max(verify(ledger, final).values()) < 1e-9


@pytest.mark.parametrize("recipes", [None, ["best_single"]])
def test_each_fold_is_decided_by_its_own_members_at_their_own_threshold(
    ledger_of: Make, recipes: list[str] | None
) -> None:
    """Counted again by hand: the percentile of the fold's own ensemble of held-out clips decides the fold's clips."""
    ledger, config = ledger_of(SMALL), replace(QUICK, threshold="empirical")
    comparison = choose(ledger, "fan", recipes, config)
    entries = [
        (EvaluationSet.of(load(ledger, "fan", each.recipe.by), each.recipe.standardise), each.recipe)
        for each in sorted(comparison.ensembles, key=lambda each: each.name)
    ]
    measured = NESTED.measure(entries, config) if recipes is None else measure(*entries[0], "crossval", config)
    assert sum(part.clips for part in measured.parts).tolist() == [1] * 48
    caught = false_alarms = 0
    for part in measured.parts:
        candidates, rows = part.evaluation.candidates, list(part.selection.members)
        if recipes is not None:
            assert rows == [int(np.argmax(part.evaluation.alone(~part.clips)))]
        statistics = part.recipe.standardise.learn(candidates.normal_scores[rows], candidates.normal)
        how, weights = part.recipe.combine[0], part.selection.weights
        normal, test = (
            combine(statistics(scores[rows], clips), how, weights)
            for scores, clips in (
                (candidates.normal_scores, candidates.normal),
                (candidates.scores, candidates.clips),
            )
        )
        assert how != "rank_mean"  # its threshold is among the ranks of the test clips
        alarms = part.clips & (test > np.percentile(normal, 90))
        caught += int((alarms & (candidates.clips["label"] == "anomaly")).sum())
        false_alarms += int((alarms & (candidates.clips["label"] == "normal")).sum())
    counts = comparison.final.counts
    assert counts is not None
    assert (counts.caught, counts.false_alarms) == (caught, false_alarms)


def test_ranks_are_among_all_test_clips_also_where_some_have_no_label(candidates: Callable[..., Candidates]) -> None:
    """The threshold of rank_mean is among the ranks of all test clips, and so must measured and counted clips be."""
    own, config = candidates((1.0, 0.8, 0.6)), replace(QUICK, threshold="empirical")
    some = replace(own, clips=half_labelled(own.clips))
    ensemble = build(some, Recipe("ranks", "top_k", ("rank_mean",), k=3), config)
    members = some.take([[trial for trial, _ in some.pairs].index(member.trial) for member in ensemble.members])
    statistics = ensemble.statistics.learned(ensemble.recipe.standardise)
    scores = combine(statistics(members.scores, members.clips), "rank_mean")
    alarms = scores > ensemble.threshold.value
    labelled = (some.clips["label"] != "unknown").to_numpy()
    expected = detection(some.clips["label"][labelled], alarms[labelled])
    assert ensemble.metrics.decisions is not None
    assert ensemble.metrics.decisions.recall == expected.recall
    assert ensemble.metrics.decisions.precision == expected.precision
    evaluation = EvaluationSet.of(some, ensemble.recipe.standardise)
    assert ensemble.metrics["oracle"].value == float(evaluation.scorer(scores[None, labelled])[0])
    counts = counts_of(measure(evaluation, ensemble.recipe, "oracle", config), config, ensemble.threshold.value)
    assert counts.caught == expected.recall * counts.anomalies


@pytest.mark.parametrize("protocol", ["crossval", "nested"])
def test_numbers_and_counts_are_of_the_budget_that_the_ensemble_was_chosen_with(ledger_of: Make, protocol: str) -> None:
    """After a rebuild, members that were too slow decide no clip."""
    ledger = ledger_of(SMALL)
    ways = [Recipe("all", "top_k", k=9), Recipe("two", "top_k", ("max",), k=2)][: 2 if protocol == "nested" else 1]
    final = chosen_of(ledger, 7, timer_of(ledger, 2.0, **ALL), ways).final
    assert final.headline_protocol == protocol
    assert final.inference is not None
    assert final.inference.budget < 0.007
    own = replace(load(ledger, "fan", "held_out"), costs=final.inference.costs, limit=final.inference.budget)
    evaluation, config = EvaluationSet.of(own, final.recipe.standardise), final.config
    if protocol == "nested":
        measured = NESTED.measure([(evaluation, way) for way in ways], config)
    else:
        measured = measure(evaluation, final.recipe, protocol, config)
    fast = {own.pairs[row] for selection in measured.selections for row in selection.members}
    assert {own.table.set_index("trial")["name"][trial].iloc[0] for trial, _ in fast} == {"fan-idnn-0000"}
    assert final.metrics[protocol].value == measured.value
    assert final.counts == counts_of(measured, config, final.threshold.value)


def test_decisions_of_the_ensemble_itself_are_those_of_its_file(ledger_of: Make) -> None:
    """Under oracle the members decide the clips that chose them, with the ensemble's own threshold."""
    ledger = ledger_of(SMALL)
    final = choose(ledger, "fan", ["best_single"], QUICK).final
    candidates = load(ledger, "fan", final.recipe.by)
    evaluation = EvaluationSet.of(candidates, final.recipe.standardise)
    counts = counts_of(measure(evaluation, final.recipe, "oracle", QUICK), QUICK, final.threshold.value)
    assert final.metrics.decisions is not None
    labels = np.repeat(["anomaly", "normal"], [counts.anomalies, counts.normals])
    alarms = np.concatenate(
        [
            np.arange(counts.anomalies) < counts.caught,
            np.arange(counts.normals) < counts.false_alarms,
        ]
    )
    assert final.metrics.decisions.recall == pytest.approx(counts.caught / counts.anomalies)
    assert detection(labels, alarms).f1 == pytest.approx(final.metrics.decisions.f1)


def test_a_file_of_an_earlier_version_has_no_counts_and_a_wrong_one_is_refused(ledger_of: Make, tmp_path: Path) -> None:
    final = choose(ledger_of(SMALL), "fan", ["best_single"], QUICK).final
    old = Ensemble.from_json(replace(final, counts=None).to_json())
    assert old.counts is None
    assert final.counts is not None
    stored = final.to_json()
    stored["counts"]["caught"] = final.counts.anomalies + 1
    path = tmp_path / "final.json"
    path.write_text(json.dumps(stored))
    with pytest.raises(AsdRayError, match=r"counts/caught must not be more than counts/anomalies"):
        read(path)
