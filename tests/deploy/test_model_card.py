"""What a bundle's model card says before its numbers: what the ensemble catches, and how far to trust that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asd_ray.deploy.bundle_file import read
from asd_ray.deploy.model_card import model_card
from asd_ray.ensembling import Ensemble, trust_level
from asd_ray.ensembling.costs import Costs, InferenceTime, RunningCost
from asd_ray.ensembling.counts import DecisionCounts
from tests.deploy.conftest import SmallRun

COUNTS = DecisionCounts("crossval", 96, 79, 96, 33)


def card_of(small: SmallRun, ensemble: Ensemble, **facts: object) -> str:
    contents = read(small.folder)
    return model_card({**contents.facts, **facts}, ensemble, small.load().calibration)


@pytest.fixture
def ensemble(small: SmallRun) -> Ensemble:
    return replace(small.load().ensemble, counts=COUNTS)


def expected(card: str) -> str:
    """The text of the part, which stands before all numbers."""
    before, _, rest = card.partition("## What to expect\n")
    assert "## " not in before.replace("# Anomalous", "", 1).lstrip("# ")
    assert "## Numbers" in rest
    return rest.partition("## Use")[0]


def test_counts_and_trust_stand_before_the_numbers(small: SmallRun, ensemble: Ensemble) -> None:
    part = expected(card_of(small, ensemble))
    assert part.startswith(
        "\nIt catches 79 of 96 faults at 33 false alarms in 96 normal clips. Each clip was decided by members that "
        "were chosen without it.\n\n"
    )
    trust = trust_level(ensemble)
    reasons = [line for line in part.splitlines() if line.startswith("- ")]
    assert f"Trust in its numbers and decisions is {trust.level}:" in part
    assert len(reasons) == len(trust.reasons) > 0
    for line, reason in zip(reasons, trust.reasons, strict=True):
        assert line == f"- {reason[0].upper()}{reason[1:]}."


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"refit": True}, "That was counted before its members were trained anew."),
        ({"calibrated": "2026-01-01"}, "That was counted with other units or another threshold than this bundle has"),
    ],
)
def test_a_changed_bundle_says_that_it_was_counted_before(
    facts: dict[str, object], words: str, small: SmallRun, ensemble: Ensemble
) -> None:
    assert words in expected(card_of(small, ensemble, **facts))
    assert "That was counted" not in card_of(small, ensemble)


def test_what_was_not_counted_is_not_claimed(small: SmallRun, ensemble: Ensemble) -> None:
    assert "It catches" not in card_of(small, replace(ensemble, counts=None))
    unmeasured = replace(
        ensemble, counts=None, metrics=replace(ensemble.metrics, by_protocol={}), notes=("not measured: no one knows",)
    )
    part = expected(card_of(small, unmeasured))
    assert part.startswith("\nHow many faults it catches is not measured: ")
    assert "is low:" in part


def test_the_cost_is_that_of_the_final_ensemble_or_of_its_limit(small: SmallRun, ensemble: Ensemble) -> None:
    assert "Its detectors take" not in card_of(small, ensemble)  # no final one
    cost = replace(ensemble, cost=RunningCost(0.0123, "a [fast] computer"))
    said = "Its detectors take 12.3 ms for 10 s of sound, in one thread of a \\[fast\\] computer"
    assert f"{said}.\n" in card_of(small, cost)
    unknown = replace(ensemble, cost=None, cost_unmeasured="no file of the encoder is known")
    reason = "The time that its detectors take was not measured: no file of the encoder is known.\n"
    assert reason in card_of(small, unknown)
    assert reason not in card_of(small, replace(unknown, cost=RunningCost(0.0123, "a computer")))
    limited = replace(
        ensemble,
        inference=InferenceTime(0.0123, 0.05, Costs("a [fast] computer", {}, {}, {})),
        config=replace(ensemble.config, infer_limit=0.05),
    )
    assert f"{said}; they were chosen to take at most 50 ms.\n" in card_of(small, limited)


def test_the_card_of_a_search_has_the_counts_of_its_final_ensemble(small: SmallRun, tmp_path: Path) -> None:
    bundle = small.run.bundle("fan", tmp_path / "b")
    counts = bundle.ensemble.counts
    assert counts is not None
    part = expected((tmp_path / "b" / "MODEL_CARD.md").read_text())
    assert f"It {counts.sentence}." in part
