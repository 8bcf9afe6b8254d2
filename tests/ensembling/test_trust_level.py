"""The trust level: what lowers it, and the reasons that it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from asd_ray.ensembling import Ensemble, EnsembleConfig, Recipe, TrustLevel, TrustWarning, build, trust_level
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.result import Tried
from tests.ensembling.conftest import make_ensemble, make_metric

QUICK = EnsembleConfig(repeats=1, folds=2, draws=50)


def measured(low: float, high: float, name: str = "nested", *warnings: TrustWarning, **changes: Any) -> Ensemble:
    metric = replace(make_metric((low + high) / 2), interval=(low, high))
    metrics = {"oracle": metric, name: metric}
    ensemble = make_ensemble(**metrics)
    candidates = replace(ensemble.candidates, guided=changes.pop("guided", False))
    return replace(ensemble, **{"candidates": candidates, "notes": (), "warnings": warnings, **changes})


def warning(name: str, **numbers: float) -> TrustWarning:
    return TrustWarning(name, "A sentence.", numbers)


@pytest.mark.parametrize(
    ("ensemble", "level", "words"),
    [
        (
            measured(0.80, 0.89),
            "high",
            "a recipe and members that were chosen without it, and the 95 % interval is",
        ),
        (measured(0.80, 0.89, "unseen"), "high", "clips that chose nothing, and the 95 % interval is narrow (0.80"),
        (measured(0.80, 0.89, "unseen", guided=True), "high", "clips that chose nothing"),
        (measured(0.80, 0.89, "crossval"), "high", "each clip was decided by members that were chosen without it"),
        (measured(0.80, 0.89, guided=True), "medium", "the search was led by the labels of the same clips"),
        (measured(0.80, 0.89, guided=None), "medium", "it is not recorded whether the search was led by the labels"),
        (measured(0.80, 0.80), "low", "there are too few clips to show how uncertain the number is"),
        (measured(0.70, 0.85), "medium", "the 95 % interval is wide (0.70 … 0.85)"),
        (measured(0.55, 0.85), "low", "the 95 % interval is very wide (0.55 … 0.85)"),
        (measured(0.45, 0.60), "low", "reaches chance level (0.45 … 0.60)"),
        (measured(0.80, 0.89, "oracle"), "low", "it is an upper bound"),
        (measured(0.80, 0.89, "crossval", tried=Tried(10, "crossval")), "medium", "picked this ensemble of 10 recipes"),
        (measured(0.80, 0.89, "crossval", tried=Tried(10, "user")), "medium", "a user picked it of 10 recipes and may"),
        (measured(0.80, 0.89, "unseen", tried=Tried(10, "user")), "medium", "may have seen the numbers"),
        (
            measured(0.80, 0.89, "label_free", tried=Tried(10, "order")),
            "high",
            "the members were chosen without labels",
        ),
        (measured(0.80, 0.89, notes=("--checkpoint oracle: test labels …",)), "low", "(--checkpoint oracle)"),
        (make_ensemble(), "low", "there are no anomalies to measure how many faults it finds"),
        (
            replace(make_ensemble(), notes=("not measured: no id has both normal clips and anomalies; …",)),
            *("low", "no id has both normal clips and anomalies"),
        ),
    ],
)
def test_the_number_and_its_protocol_limit_the_level(ensemble: Ensemble, level: str, words: str) -> None:
    found = trust_level(ensemble)
    assert found.level == level
    assert words in found.reasons[0]
    assert found.sentence.startswith(f"{level}, because ")


@pytest.mark.parametrize(
    ("given", "level", "words"),
    [
        (warning("few_clips", ids=1, normal=40, anomaly=5), "medium", "because an id has only 5 anomalous test clips"),
        (warning("few_clips", ids=1, normal=1, anomaly=40), "medium", "because an id has only 1 normal test clip"),
        (
            warning("few_clips", domains=1, normal=40, anomaly=5),
            *("medium", "because a domain of an id has only 5 anomalous test clips"),
        ),
        (warning("few_clips", clips=24, exceeding=2), "medium", "the threshold rests on only 24 normal clips"),
        (warning("few_clips", groups=1, fewest=0), "medium", "1 id or domain had few clips"),
        (warning("below_chance", members=2, lowest=0.4), "medium", "2 members alone would be below chance"),
        (warning("below_chance", cells=1, lowest=0.4), "low", "below chance in 1 part of the test clips"),
        (
            warning("below_chance", unsure=2, lowest=0.4),
            "medium",
            "2 parts of the test clips, which may be luck",
        ),
        (warning("threshold_source", clips=90, exceeding=9), "medium", "the threshold comes from test clips"),
        (warning("fault_values", clips=5, fewest=1), "medium", "injected faults behind the choice"),
        (warning("certainty", value=1, low=1, high=1), "high", ""),  # of another protocol than the headline's
        (warning("false_alarms", exceeding=2, clips=24), "high", ""),  # a question of cost, not of trust
    ],
)
def test_warnings_limit_the_level(given: TrustWarning, level: str, words: str) -> None:
    trust = trust_level(measured(0.80, 0.89, "nested", given))
    assert trust.level == level
    assert words in trust.sentence
    assert trust_level(measured(0.80, 0.89), [given]) == trust  # of a file without warnings


@pytest.mark.parametrize(("alarms", "level"), [(9, "high"), (28, "medium")])
def test_more_false_alarms_than_the_threshold_promises_lower_the_level(alarms: int, level: str) -> None:
    found = trust_level(measured(0.80, 0.89, counts=DecisionCounts("nested", 96, 71, 96, alarms)))
    assert found.level == level
    said = "28 of 96 normal test clips are false alarms, although the threshold is set for 10 %"
    assert (said in found.reasons) == (level == "medium")


def test_the_gravest_reason_comes_first_and_at_most_three_are_in_the_sentence() -> None:
    lesser = [warning("few_clips", clips=clips, exceeding=0) for clips in (5, 6, 7)]
    found = trust_level(measured(0.5, 0.9, "nested", *lesser))
    assert found.level == "low"
    assert "chance level" in found.reasons[0]
    assert len(found.reasons) == 4
    assert found.sentence == (
        f"low, because {found.reasons[0]}, the threshold rests on only 5 normal clips, "
        "and the threshold rests on only 6 normal clips (1 more reason)"
    )
    assert TrustLevel.from_json(found.to_json()) == found


def test_an_ensemble_of_few_real_clips_says_why(candidates: Callable[..., Candidates]) -> None:
    found = trust_level(build(candidates(strength=(1.0, 0.5), per=4), Recipe("best", "best"), QUICK))
    assert found.level in ("medium", "low")
    assert "ids have as few as 8 anomalous and 8 normal test clips" in found.reasons
