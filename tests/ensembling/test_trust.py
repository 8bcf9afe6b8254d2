"""Each warning: when it is given, and when not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, build, choose, load, read
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.threshold import Threshold
from asd_ray.ensembling.trust import RULES, RULES_OF_CHOICE, TrustWarning, false_alarms, few_clips, warnings_of
from asd_ray.ensembling.trust.far_from_training import higher_shares
from asd_ray.ensembling.verifying import verify
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.metrics import FalseAlarmRate

Make = Callable[..., Ledger]
QUICK = EnsembleConfig(repeats=1, folds=2, draws=50)
BEST = Recipe("best", "best")


def made(candidates: Candidates, recipe: Recipe = BEST, config: EnsembleConfig = QUICK) -> Ensemble:
    return build(candidates, recipe, config)


def of(ensemble: Ensemble, name: str) -> list[TrustWarning]:
    assert ensemble.warnings is not None
    return [warning for warning in ensemble.warnings if warning.name == name]


def test_names_of_rules_are_unique_and_sentences_are_sentences(candidates: Callable[..., Candidates]) -> None:
    rules = (*RULES, *RULES_OF_CHOICE)
    assert len({rule.NAME for rule in rules}) == len(rules) == 8
    ensemble = made(candidates(strength=(9.0, -1.0), per=4), Recipe("pair", "top_k", k=2))
    assert ensemble.warnings
    for warning in ensemble.warnings:
        assert warning.sentence[0].isupper() or warning.sentence[0].isdigit()
        assert warning.sentence.endswith(".")
        assert warning.numbers


def test_a_perfect_number_of_few_clips_is_no_certainty(candidates: Callable[..., Candidates]) -> None:
    ensemble = made(candidates(strength=(20.0,), per=5))
    low, high = ensemble.metrics["oracle"].interval
    assert (ensemble.metrics["oracle"].value, high) == (1, 1)
    assert 0.5 < low < 0.97
    [warning] = of(ensemble, "certainty")
    assert warning.sentence.startswith(
        "Every anomaly scores above every normal clip (oracle, crossval, cross_id: 1.000)"
    )
    assert f"the lower end of the interval, {low:.3f}," in warning.sentence
    assert warning.numbers == {"value": 1, "low": low, "high": 1}
    assert not of(made(candidates(per=20)), "certainty")


def test_an_interval_of_width_zero_in_an_old_file_is_no_certainty_either(candidates: Callable[..., Candidates]) -> None:
    members = candidates(strength=(20.0,), per=5)
    old = made(members, config=replace(QUICK, rules=1))
    assert old.warnings is None
    assert old.metrics["oracle"].interval == (1, 1)
    sentences = [warning.sentence for warning in warnings_of(old, members)]
    assert "an interval of width zero is no certainty" in sentences[0]
    single = replace(old.metrics["oracle"], value=0.7, interval=(0.7, 0.7))
    old = replace(old, metrics=replace(old.metrics, by_protocol={"oracle": single}))
    assert warnings_of(old, members)[0].sentence == (
        "The interval of oracle has the width zero: there are too few clips to show how uncertain 0.700 is."
    )


@pytest.mark.parametrize(
    ("per", "words"),
    [
        (2, "2 of 2 ids have few test clips (as few as 4 normal clips and 4 anomalous clips): one anomaly more or"),
        (6, "): pAUC looks at the 10 % of the normal clips that score highest, 1.2 clips."),
        (10, None),
    ],
)
def test_few_test_clips_of_an_id(candidates: Callable[..., Candidates], per: int, words: str | None) -> None:
    found = [each for each in of(made(candidates(per=per)), "few_clips") if "test clips" in each.sentence]
    assert [words in each.sentence for each in found] == ([True] if words else [])


@pytest.mark.parametrize(
    ("year", "many", "step"), [(2021, "4 of 4 domains of ids", "0.50"), (2022, "2 of 2 ids", "0.25")]
)
def test_where_each_domain_is_ranked_alone_its_own_clips_count(
    candidates: Callable[..., Candidates], year: int, many: str, step: str
) -> None:
    [warning] = [each for each in of(made(candidates(per=2, year=year)), "few_clips") if "pAUC" in each.sentence]
    assert warning.sentence.startswith(f"{many} have few test clips (as few as ")
    assert f"by up to {step}," in warning.sentence
    assert ("domains" in warning.numbers, "ids" in warning.numbers) == (year == 2021, year == 2022)


@pytest.mark.parametrize(
    ("year", "per", "name", "unit"), [(None, 10, "02", "an id"), (2021, 20, "02 target", "a domain of an id")]
)
def test_the_one_id_that_has_few_test_clips_is_named(
    candidates: Callable[..., Candidates], year: int | None, per: int, name: str, unit: str
) -> None:
    whole = candidates(per=per, year=year)
    where = whole.clips["id"] if year is None else whole.clips["id"] + " " + whole.clips["domain"]
    of_both = ((where == name) & (whole.clips["label"] == "anomaly")).to_numpy()
    keep = np.sort(np.append(np.flatnonzero(~of_both), np.flatnonzero(of_both)[:5]))
    fewer = replace(whole, clips=whole.clips.iloc[keep].reset_index(drop=True), scores=whole.scores[:, keep])
    [warning] = of(made(fewer), "few_clips")
    assert warning.sentence == (
        f"Id {name} has 20 normal clips and 5 anomalous clips in the test: one anomaly more or less moves the AUC of "
        f"{unit} by up to 0.20."
    )
    assert warning.numbers == {"ids" if year is None else "domains": 1, "normal": 20, "anomaly": 5}


def with_normals(whole: Candidates, keep: Any) -> Candidates:
    at = np.flatnonzero(keep)
    return replace(whole, normal=whole.normal.iloc[at].reset_index(drop=True), normal_scores=whole.normal_scores[:, at])


def test_few_normal_clips_behind_the_threshold(candidates: Callable[..., Candidates]) -> None:
    whole = candidates(per=10)
    assert not of(made(whole), "few_clips")
    [warning] = of(made(with_normals(whole, np.arange(120) % 4 == 0)), "few_clips")
    assert warning.sentence.startswith("30 normal clips are few for the threshold at their 90th percentile")
    assert warning.numbers["low"] < 0.1 < warning.numbers["high"]
    assert of(made(whole, config=replace(QUICK, percentile=99)), "few_clips")


def test_few_normal_clips_behind_the_units_of_an_id(candidates: Callable[..., Candidates]) -> None:
    whole = candidates(per=10)
    keep = (whole.normal["id"] == "00") | (np.arange(120) >= 117)
    found = [warning.sentence for warning in of(made(with_normals(whole, keep)), "few_clips")]
    assert found == ["Fewer than 5 clips to take units from: 02. Scores there are in units of the whole machine."]


def test_members_below_chance_are_named_with_their_auc(candidates: Callable[..., Candidates]) -> None:
    pair = Recipe("pair", "top_k", k=2)
    ensemble = made(candidates(strength=(2.0, -0.8), per=20, shared=0.0), pair)
    [warning] = of(ensemble, "below_chance")
    assert warning.sentence.startswith("Below chance: fan-group_made-0001 mse (AUC 0.2")
    assert warning.numbers["members"] == 1
    assert not of(made(candidates(strength=(2.0, 1.0), per=20), pair), "below_chance")


@pytest.mark.parametrize(
    ("per", "key", "advice"),
    [
        (20, "cells", ". Do not use it there."),
        (2, "unsure", ". With as few as 4 normal and 4 anomalous clips that may be luck: measure it there with more "),
    ],
)
def test_an_id_where_the_ensemble_is_below_chance_is_named(
    candidates: Callable[..., Candidates], per: int, key: str, advice: str
) -> None:
    whole = candidates(strength=(2.0 if per > 2 else 0.5,), per=per, year=None, seed=2)
    upside_down = (whole.clips["id"] == "02").to_numpy()
    scores = np.where(upside_down, -whole.scores, whole.scores)
    [warning] = [each for each in of(made(replace(whole, scores=scores)), "below_chance") if key in each.numbers]
    assert re.match(r"The ensemble is below chance \(crossval\): AUC of id 02 \(0\.\d{3}\)\. ", warning.sentence)
    assert advice in warning.sentence


def learned_by_heart(family: str, number: int, variant: str, scores: Any) -> Any:
    """The first candidate's training clips score far lower than all else."""
    training = np.arange(len(scores)) < 4 * 12
    return np.where(training & (number == 0), scores - 5, scores)


@pytest.mark.parametrize("by", ["held_out", "train"])
def test_members_that_know_their_training_clips_by_heart(ledger_of: Make, by: str) -> None:
    ledger = ledger_of({"idnn": [{}, {}]}, per=12, variants=("mse",), change=learned_by_heart)
    ensemble = made(load(ledger, "fan", by), Recipe("pair", "top_k", k=2, by=by))
    [warning] = of(ensemble, "far_from_training")
    assert "in most pairs of fan-idnn-0000 mse (100 %); 50 % would be alike" in warning.sentence
    assert ("expect more false alarms" in warning.sentence) == (by == "train")
    assert warning.numbers["members"] == 1
    honest = ledger_of({"idnn": [{}, {}]}, machine="pump", per=12, variants=("mse",))
    assert not of(made(load(honest, "pump", by), Recipe("pair", "top_k", k=2, by=by)), "far_from_training")


def test_few_held_out_clips_show_nothing_about_training() -> None:
    def split(many: int) -> tuple[pd.DataFrame, np.ndarray]:
        return pd.DataFrame({"id": ["00"] * many}), np.arange(float(many))[None]

    assert higher_shares(split(50), split(9)) is None
    shares = higher_shares(split(50), split(10))
    assert shares is not None
    assert shares.shape == (1,)


def test_a_threshold_from_test_clips_is_said(ledger_of: Make) -> None:
    recipe = replace(BEST, by="test")
    imported = ledger_of(per=40, splits=("test",), strength=4.0, year=None)
    ensemble = made(load(imported, "fan", "test"), recipe)
    [warning] = of(ensemble, "threshold_source")
    assert warning.sentence.startswith("Threshold from test clips: no scores of normal clips are stored. Of 320 test")
    assert "the lower" in warning.sentence
    assert warning.numbers["exceeding"] == ensemble.threshold.exceeding
    assert not of(ensemble, "false_alarms")
    alike = ledger_of(per=40, splits=("test",), strength=0.0, machine="pump", year=None)
    [warning] = of(made(load(alike, "pump", "test"), recipe), "threshold_source")
    assert "the scores do not show two kinds, so it is the 90th percentile of all of them" in warning.sentence
    normal = ledger_of(per=20, machine="valve")
    assert not of(made(load(normal, "valve", "test"), recipe), "threshold_source")
    old = made(load(imported, "fan", "test"), recipe, replace(QUICK, rules=1))
    members = load(imported, "fan", "test", only={old.members[0].trial: [old.members[0].variant]})
    assert any("so it misses anomalies" in each.sentence for each in warnings_of(old, members))


def test_false_alarms_of_a_day_are_those_of_counted_test_clips(candidates: Callable[..., Candidates]) -> None:
    ensemble = replace(made(candidates(per=10)), counts=DecisionCounts("nested", 40, 30, 96, 28))
    [warning] = false_alarms.warnings(ensemble, candidates(per=10))
    assert warning.sentence.startswith(
        "False alarms: 28 of 96 normal test clips score above the threshold (each clip was decided by an ensemble that "
        "was chosen without it). Of the 8,640 clips of 10 s in a day, expect 2,520 false alarms, and not more than"
    )
    numbers = warning.numbers
    assert (numbers["exceeding"], numbers["clips"], numbers["seconds"]) == (28, 96, 10.0)
    assert numbers["per_day"] == pytest.approx(8640 * 28 / 96)
    assert numbers["per_day"] < numbers["most"] < 8640
    words = f"expect {numbers['per_day']:,.0f} false alarms, and not more than {numbers['most']:,.0f} (95 % limit)"
    assert words in warning.sentence


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"anomaly": "anomaly"}, "(the members were chosen by these clips, so new clips will be decided less well)"),
        ({"anomaly": "normal"}, "(the members were chosen without labels)"),  # of these, no number can be measured
        ({"anomaly": "unknown", "normal": "unknown"}, ""),
    ],
)
def test_without_counts_the_ensemble_as_it_is_decides_normal_test_clips(
    candidates: Callable[..., Candidates], labels: dict[str, str], words: str
) -> None:
    whole = candidates(strength=(1.0,), per=10)
    given = replace(whole, clips=whole.clips.assign(label=whole.clips["label"].replace(labels)))
    recipe = BEST if given.labelled else Recipe("label_free", "label_free")
    ensemble = made(given, recipe)
    [warning], limit = of(ensemble, "false_alarms"), ensemble.threshold
    normal = (given.clips["label"] == "normal").to_numpy()
    statistics = ensemble.statistics.learned(recipe.standardise)
    above = int((statistics(given.scores, given.clips)[0][normal] > limit.value).sum())
    if words:
        assert warning.sentence.startswith(f"False alarms: {above} of {normal.sum()} normal test clips ")
        assert words in warning.sentence
    else:
        assert f"{limit.exceeding} of 120 held-out normal clips score above the threshold (these" in warning.sentence
        above = limit.exceeding or 0
    assert warning.numbers["exceeding"] == above > 0


def test_rare_false_alarms_are_no_warning() -> None:
    assert not list(false_alarms.of_rate(FalseAlarmRate(0, 100_000), 10.0))
    assert list(false_alarms.of_rate(FalseAlarmRate(0, 10_000), 10.0))
    assert few_clips.behind_threshold(FalseAlarmRate(0, 9), 90).numbers["low"] == 0


def test_without_labels_what_can_be_known_is_said(ledger_of: Make) -> None:
    ledger = ledger_of(labels="unknown")
    ensemble = made(load(ledger, "fan"), Recipe("label_free", "label_free"))
    assert {warning.name for warning in ensemble.warnings or ()} == {"few_clips", "false_alarms"}


def test_warnings_are_in_the_file_and_verified_by_the_checksum(ledger_of: Make) -> None:
    ledger = ledger_of(strength=9.0)
    comparison = choose(ledger, "fan", [BEST], QUICK)
    ensemble = read(comparison.path)
    assert ensemble.warnings == comparison.final.warnings
    assert ensemble.warnings
    assert max(verify(ledger, ensemble).values()) <= 1e-9
    changed = replace(ensemble, warnings=())
    assert verify(ledger, changed)["checksum"] > 1


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"exceeding": 99}, "threshold/exceeding must be there if threshold/clips is, and not be more"),
        ({"how": "mixture"}, "threshold/clips, normal_share and source must be there where threshold/how is mixture"),
        ({"source": "guess"}, "threshold/source must be held_out or train or test"),
    ],
)
def test_a_threshold_that_contradicts_itself_is_refused(
    candidates: Callable[..., Candidates], part: dict[str, Any], message: str
) -> None:
    stored = json.loads(json.dumps(made(candidates(per=4)).to_json()))
    limit = {**Threshold("empirical", 90, 1.0).to_json(), **({"clips": 9} if "exceeding" in part else {}), **part}
    with pytest.raises(AsdRayError, match=message):
        Ensemble.from_json({**stored, "threshold": limit})
