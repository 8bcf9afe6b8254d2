"""Ensembles of a ledger: every shipped recipe followed, every number told with its protocol, wrong inputs named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asd_ray.ensembling import EnsembleConfig, build, find_recipe, load, shipped_recipes
from asd_ray.ensembling.build import without_constants
from asd_ray.ensembling.candidates import Candidates, LeftOut
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.final import mark_best
from asd_ray.ensembling.measuring import best_single, measurements
from asd_ray.ensembling.metric import Gain
from asd_ray.ensembling.recipe import Recipe
from asd_ray.ensembling.result import Ensemble, Tried
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.ledger.later_params import all_params

QUICK = EnsembleConfig(repeats=1, folds=3, draws=100)


@pytest.fixture
def few(candidates: Callable[..., Candidates]) -> Candidates:
    return candidates((0.4, 1.2, 0.9, 0.2))


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_followed_where_its_families_are(name: str, all_families: Ledger) -> None:
    recipe = find_recipe(name)
    given = load(all_families, "fan", recipe.by)
    for way in recipe.ways():
        ensemble = build(given, replace(way, trials=5, bags=min(2, way.bags)), QUICK)
        assert ensemble.members
        assert ensemble.metrics
        assert Ensemble.from_json(json.loads(json.dumps(ensemble.to_json(), allow_nan=False))) == ensemble
        assert ensemble.transductive is False
        last = "cross_id" if recipe.uses_labels else "label_free"
        protocols = {"oracle", "crossval", last}
        assert {"oracle", "crossval", "cross_id", "label_free"} & set(ensemble.metrics) == protocols
        for slot, member in zip(recipe.slots, ensemble.members, strict=False):
            assert member.family == slot.family
            assert dict(slot.params).items() <= all_params(slot.family, member.params).items()
            assert not slot.variants or member.variant in slot.variants


def test_numbers_are_those_of_scikit_learn_on_scores_put_together_by_hand(all_families: Ledger) -> None:
    """System 2 of Giri et al.: z by the training clips of each id, mean of all members, AUC and pAUC of each id."""
    ensemble = build(load(all_families, "fan", "train"), find_recipe("giri_system_2").ways()[0], QUICK)
    together = 0.0
    for member in ensemble.members:
        [record] = [each for each in all_families.records() if each.trial == member.trial]
        rows = all_families.scores(record)
        rows = rows[rows["variant"] == member.variant]
        train = rows[rows["split"] == "train"].groupby("id")["score"]
        test = rows[rows["split"] == "test"].set_index("clip").sort_index()
        z = (test["score"] - test["id"].map(train.mean())) / test["id"].map(train.apply(lambda x: np.std(x.to_numpy())))
        together = together + z / 3
    cells = {}
    for each, here in test.assign(score=together).groupby("id"):
        cells[f"{each}/auc"] = roc_auc_score(here["label"] == "anomaly", here["score"])
        cells[f"{each}/pauc"] = roc_auc_score(here["label"] == "anomaly", here["score"], max_fpr=0.1)
    expected = ensemble.metrics["oracle"]
    assert [(member.family, member.variant, member.params.get("mix")) for member in ensemble.members] == [
        ("id_classifier", "probability", "both"),
        ("group_made", "all", None),
        ("id_classifier", "probability", "before"),
    ]
    assert expected.cells == pytest.approx(cells, abs=1e-6)  # scores are float32
    assert expected.value == pytest.approx(4 / sum(1 / value for value in cells.values()), abs=1e-6)
    assert expected.auc == pytest.approx(2 / sum(1 / cells[f"{each}/auc"] for each in ("00", "02")), abs=1e-6)


def test_giris_systems_have_no_least_deviation(few: Candidates) -> None:
    """Where the scores of an id hardly differ, their own deviation counts; most other recipes have a floor."""
    calm = (few.normal["id"] == "02").to_numpy()
    few = replace(few, normal_scores=np.where(calm, few.normal_scores / 1000, few.normal_scores))

    def scale_of(name: str) -> float:
        ensemble = build(few, Recipe("r", "best", standardise=find_recipe(name).standardise), QUICK)
        [scales], [member] = ensemble.statistics.scale, ensemble.members
        own.append(few.normal_scores[few.table["trial"].tolist().index(member.trial), calm].astype(float).std())
        return scales[ensemble.statistics.groups.index("02")]

    own: list[float] = []
    assert scale_of("giri_system_2") == pytest.approx(own[0])
    assert scale_of("best_single") > 20 * own[0]


def test_aegan_best_score_is_of_one_training(few: Candidates) -> None:
    """Not of the better trial with another setting, nor of a better one with another seed."""
    table = few.table.assign(
        family="aegan_ad", trial=["one", "two", "other", "one"], variant=["a", "a", "a", "b"], number=[3, 4, 0, 3]
    )
    [recipe] = find_recipe("aegan_best_score").ways()

    def chosen(**columns: Any) -> list[tuple[str, str]]:
        given = replace(few, table=table.assign(**columns))
        return [(member.trial, member.variant) for member in build(given, recipe, QUICK).members]

    assert chosen(paper=[True, True, False, True]) == [("one", "a")]
    assert chosen(paper=[True, True, False, True], epochs=[60, 60, 60, 60]) == [("one", "a")]
    assert chosen(paper=[True, True, False, True], epochs=[2, 60, 60, 2]) == [("two", "a")]  # 2: --epochs-cap
    assert chosen(paper=[False, False, True, False]) == [("other", "a")]
    with pytest.raises(AsdRayError, match=r"needs aegan_ad \(its paper's setting\), which no complete trial has; run"):
        chosen(paper=[False] * 4)


def test_oracle_and_crossval_stand_side_by_side_with_gap_interval_and_gain(few: Candidates) -> None:
    own_metrics = build(few, Recipe("greedy", "greedy"), QUICK).metrics
    assert own_metrics.gap == own_metrics["oracle"].value - own_metrics["crossval"].value
    for protocol in ("oracle", "crossval", "cross_id"):
        each = own_metrics[protocol]
        low, high = each.interval
        assert low < each.value < high
        assert each.gain.value == each.value - each.single.value
        assert each.gain.better == (each.gain.interval[0] > 0)
        assert each.single.protocol == protocol
        assert protocol == "oracle" or "left out" in each.labels
    assert "upper bound" in own_metrics["oracle"].labels
    assert own_metrics["oracle"].single.name == few.label(1)
    assert own_metrics["crossval"].single.name == ""  # each fold chose its own


def test_the_best_single_gains_nothing_over_itself(few: Candidates) -> None:
    own_metrics = build(few, Recipe("best_single", "best"), QUICK).metrics
    for protocol in ("oracle", "crossval"):
        assert own_metrics[protocol].gain == Gain(0.0, (0.0, 0.0), False)


def test_a_clear_gain_is_called_one(candidates: Callable[..., Candidates]) -> None:
    """Eight equally good detectors that err apart: their mean is better than any, and the interval says so."""
    own_metrics = build(candidates([1.0] * 8, per=50, shared=0.0), Recipe("all", "top_k", k=8), QUICK).metrics
    for protocol in ("oracle", "crossval"):
        assert own_metrics[protocol].gain.interval[0] > 0
        assert own_metrics[protocol].gain.value > 0.05
    assert own_metrics["crossval"].gain.better
    assert not own_metrics["oracle"].gain.better  # what was chosen by these clips is no claim


def test_measures_of_the_best_single_may_be_given(few: Candidates) -> None:
    recipe = Recipe("greedy", "greedy")
    single = measurements(EvaluationSet.of(few, recipe.standardise), best_single(recipe), QUICK)
    assert build(few, recipe, QUICK, single).metrics == build(few, recipe, QUICK).metrics


def test_label_free_is_compared_with_what_crossval_would_have_chosen(few: Candidates) -> None:
    ensemble = build(few, Recipe("label_free", "label_free"), QUICK)
    metrics = ensemble.metrics
    assert set(metrics.to_json()) == {"label_free", "oracle", "crossval", "gap", "decisions"}
    assert metrics["label_free"].single.protocol == "crossval"
    assert metrics["label_free"].value == metrics["oracle"].value == metrics["crossval"].value
    assert metrics.gap == 0
    assert ensemble.labels == "chosen without any test label"


def test_the_best_of_many_recipes_is_called_better_only_if_luck_does_not_explain_it(
    candidates: Callable[..., Candidates],
) -> None:
    """Equal detectors that err together leave nothing to gain; eight that err apart leave much."""
    ways = [Recipe(f"top_{k}", "top_k", k=k) for k in (2, 3, 4, 5, 6, 7, 8)]
    claimed = 0
    for seed in range(10):
        equal = candidates([1.0] * 8, per=10, shared=0.98, seed=seed)
        single = measurements(EvaluationSet.of(equal, ways[0].standardise), best_single(ways[0]), QUICK)
        best, marked = mark_best([build(equal, way, QUICK, single) for way in ways])
        claimed += best.metrics["crossval"].gain.better_as_best
        assert best.tried == Tried(7, "crossval", tuple(sorted(way.name for way in ways)))
        assert [each.tried for each in marked] == [best.tried] * 7
    assert claimed <= 1
    apart = candidates([1.0] * 8, per=50, shared=0.0)
    assert mark_best([build(apart, way, QUICK) for way in ways])[0].metrics["crossval"].gain.better_as_best


def test_a_trial_that_kept_the_epoch_test_labels_liked_best_is_not_label_free_and_is_told(few: Candidates) -> None:
    peeked = replace(few, table=few.table.assign(peeked=[True, False, False, False]))
    chosen = {each.name for each in build(peeked, Recipe("label_free", "label_free"), QUICK).members}
    assert chosen == {few.table["name"][1]}
    notes = build(peeked, Recipe("all", "top_k", k=4), QUICK).notes
    assert any("--checkpoint oracle" in note for note in notes)


def test_how_many_were_tried_and_how_often_each_was_chosen_is_told(few: Candidates) -> None:
    ensemble = build(
        replace(few, left_out=(LeftOut("one", "idnn", "", "no held_out scores"),)), Recipe("top_k", "top_k", k=2), QUICK
    )
    assert ensemble.candidates.tried == 4
    assert ensemble.candidates.families == {"group_made": 2, "idnn": 2}
    assert ensemble.candidates.left_out == ("one (no held_out scores)",)
    assert "left out: one (no held_out scores)" in ensemble.notes
    assert sum(each.frequency for each in ensemble.selection_frequency) == pytest.approx(2)
    assert ensemble.selection_frequency[0].frequency == 1
    assert [step.step for step in ensemble.trail] == [1, 2]


def test_decisions_are_those_of_the_threshold_of_normal_scores(few: Candidates) -> None:
    ensemble = build(few, Recipe("best", "best"), QUICK)
    value = ensemble.threshold.value
    [row] = [row for row in range(4) if few.label(row).startswith(ensemble.members[0].name)]
    z = Recipe("best", "best").standardise.learn(few.normal_scores, few.normal)(few.scores, few.clips)[row]
    truth = (few.clips["label"] == "anomaly").to_numpy()
    assert ensemble.metrics.decisions.recall == pytest.approx((z > value)[truth].mean())
    assert ensemble.metrics.decisions.precision == pytest.approx(truth[z > value].mean())
    lower = build(few, Recipe("best", "best"), replace(QUICK, threshold="empirical", percentile=50.0))
    assert lower.threshold.value < value
    assert lower.metrics.decisions.recall > ensemble.metrics.decisions.recall


@pytest.mark.parametrize("maximise", ["auc", "pauc", "hmean"])
def test_what_is_maximised_is_the_value(few: Candidates, maximise: str) -> None:
    own_metrics = build(few, Recipe("greedy", "greedy"), replace(QUICK, maximise=maximise)).metrics
    assert own_metrics["oracle"].value == pytest.approx(getattr(own_metrics["oracle"], maximise))


# -- wrong inputs ----------------------------------------------------------------------------------------------------


def test_without_test_labels_label_free_gives_decisions_and_no_metrics(few: Candidates) -> None:
    unlabelled = replace(few, clips=few.clips.assign(label="unknown"))
    ensemble = build(unlabelled, Recipe("label_free", "label_free"), QUICK)
    assert not ensemble.metrics
    assert ensemble.members
    assert np.isfinite(ensemble.threshold.value)
    assert "not measured: there are no known anomalies; the test clips have no labels" in ensemble.notes


def test_without_test_labels_every_other_recipe_names_the_cure(few: Candidates) -> None:
    unlabelled = replace(few, clips=few.clips.assign(label="unknown"))
    with pytest.raises(AsdRayError) as raised:
        build(unlabelled, Recipe("greedy", "greedy"), QUICK)
    assert str(raised.value) == (
        "fan: recipe greedy chooses by labels of test clips, and there are no known anomalies (the test clips have "
        "no labels); choose without labels: --recipe label_free"
    )


def test_normal_test_clips_alone_measure_nothing(few: Candidates) -> None:
    only = replace(few, clips=few.clips.assign(label="normal"))
    ensemble = build(only, Recipe("label_free", "label_free"), QUICK)
    assert not ensemble.metrics
    assert "not measured: there are no anomalies; all test clips are normal" in ensemble.notes
    with pytest.raises(AsdRayError, match=r"there are no anomalies \(all test clips are normal\)"):
        build(only, Recipe("r", "greedy"), QUICK)


@pytest.mark.parametrize("apart", [False, True])
def test_anomalies_without_normal_clips_of_their_id_measure_nothing(few: Candidates, apart: bool) -> None:
    """Such a machine is searched by normal sound alone, so it must have an ensemble as well."""
    ids = few.clips["id"].unique()
    labels = np.where(few.clips["id"] == ids[0], "normal", "anomaly") if apart else "anomaly"
    clips = few.clips.assign(label=labels)
    assert len(ids) > 1
    ensemble = build(replace(few, clips=clips), Recipe("label_free", "label_free"), QUICK)
    assert not ensemble.metrics
    what = "normal clips and anomalies have different ids" if apart else "all test clips are anomalies"
    assert f"not measured: no id has both normal clips and anomalies; {what}" in ensemble.notes
    with pytest.raises(AsdRayError, match=f"and no id has both normal clips and anomalies \\({what}\\)"):
        build(replace(few, clips=clips), Recipe("r", "greedy"), QUICK)


def test_constant_scores_are_left_out_and_named(few: Candidates) -> None:
    scores = few.scores.copy()
    scores[1] = 7.0
    ensemble = build(replace(few, scores=scores), Recipe("top_k", "top_k", k=4), QUICK)
    expected = f"{few.label(1)} (constant scores)"
    assert ensemble.candidates.left_out == (expected,)
    assert f"left out: {expected}" in ensemble.notes
    assert few.label(1) not in {f"{member.name} {member.variant}" for member in ensemble.members}
    assert ensemble.candidates.tried == 3


def test_constant_scores_of_all_candidates_are_an_error(few: Candidates) -> None:
    with pytest.raises(AsdRayError, match="fan: every candidate gives all test clips one score: the detectors"):
        without_constants(replace(few, scores=np.full_like(few.scores, 2.0)))


def test_by_test_clips_is_called_transductive(few: Candidates) -> None:
    by_test = replace(few, by="test", normal=few.clips, normal_scores=few.scores)
    ensemble = build(by_test, Recipe("greedy", "greedy", by="test"), QUICK)
    assert ensemble.transductive is True
    assert any(note.startswith("transductive: ") for note in ensemble.notes)


def test_a_mean_of_ranks_is_called_transductive(few: Candidates) -> None:
    ensemble = build(few, Recipe("top_k", "top_k", ("rank_mean",)), QUICK)
    assert ensemble.transductive is True
    assert any(note.startswith("transductive: ") for note in ensemble.notes)
    assert build(few, Recipe("top_k", "top_k", ("mean",)), QUICK).transductive is False


def test_too_few_clips_for_crossval_are_noted(candidates: Callable[..., Candidates]) -> None:
    ensemble = build(candidates(per=1), Recipe("greedy", "greedy"), QUICK)
    assert "crossval" not in ensemble.metrics
    assert ensemble.metrics.gap is None
    assert any("no crossval" in note for note in ensemble.notes)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"maximise": "acu"}, "unknown maximise 'acu'; did you mean 'auc'"),
        ({"threshold": "gama"}, "unknown threshold 'gama'; did you mean 'gamma'"),
        ({"folds": 1}, "folds must be 2 or more but got 1"),
        ({"repeats": 0}, "repeats must be 1 or more but got 0"),
        ({"seed": -1}, "seed must be 0 or more but got -1"),
        ({"draws": 0}, "draws must be 1 or more but got 0"),
        ({"percentile": 100.0}, "percentile must be above 0 and below 100 but got 100.0"),
    ],
)
def test_a_config_that_cannot_be_is_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        EnsembleConfig(**option)
