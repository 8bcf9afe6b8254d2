"""The benchmark of criteria on simulated candidates of known quality."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.standardise import Standardiser
from benchmarks.bench_criteria import Outcome, candidates_of, main, outcomes, table
from tests.ensembling.conftest import SMALL, make_ledger
from tests.ensembling.criteria.conftest import simulate

SPLITS = ("train", "held_out", "test", "fault")


@pytest.fixture(scope="module")
def found() -> dict[str, Outcome]:
    return {outcome.way: outcome for outcome in outcomes(simulate(per=40), top=3)}


def test_good_criteria_come_close_to_the_best_and_random_does_not(found: dict[str, Outcome]) -> None:
    best, chance = found["best candidate (all labels)"], found["random candidate"]
    assert best.regret == 0.0
    for name in ("injected_faults", "consensus", "borda"):
        outcome = found[f"best by {name}"]
        assert outcome.correlation > 0.85
        assert outcome.regret < 0.4 * chance.regret
        assert outcome.value == pytest.approx(best.value - outcome.regret)
        assert found[f"ensemble of the 3 best by {name}, mean"].value > best.value  # their errors are independent


def test_a_way_that_cannot_be_used_has_no_number(found: dict[str, Outcome]) -> None:
    assert math.isnan(found["best by stability"].value)
    assert math.isnan(found["ensemble of the 3 best by stability, min"].value)


def test_criteria_have_a_row_without_test_clips(found: dict[str, Outcome]) -> None:
    """`borda` keeps the votes that need no test clip; the other two cannot be used and have no number."""
    blind = found["best by borda, without test clips"]
    assert blind.correlation > 0.8
    assert blind.correlation != found["best by borda"].correlation
    assert found["ensemble of the 3 best by borda, mean, without test clips"].value > 0.7
    for name in ("consensus", "fault_consensus"):
        assert math.isnan(found[f"best by {name}, without test clips"].value)
    assert "best by injected_faults, without test clips" not in found, "it is the same row"


def test_noise_chooses_no_better_than_chance() -> None:
    candidates = simulate(per=40)
    assert candidates.faults is not None
    draw = np.random.default_rng(0)
    noise = draw.normal(size=candidates.faults.scores.shape).astype(np.float32)
    deaf = {way.way: way for way in outcomes(replace(candidates, faults=replace(candidates.faults, scores=noise)))}
    assert abs(deaf["best by injected_faults"].correlation) < 0.6


def test_the_papers_settings_are_those_of_the_table() -> None:
    candidates = simulate()
    weakest = replace(candidates, table=candidates.table.assign(paper=[True] + [False] * 11))
    own = {outcome.way: outcome for outcome in outcomes(weakest)}
    single, mean = own["papers' settings, single"], own["ensemble of papers' settings, mean"]
    assert single.value == pytest.approx(mean.value)
    assert single.value < own["random candidate"].value


def test_a_family_counts_once_and_by_its_papers_own_score() -> None:
    """The mean score of IDNN, and both scores of AEGAN-AD, which has no single one."""
    candidates = simulate(per=40)
    family = ["idnn"] * 2 + ["aegan_ad"] * 2 + ["stgram"] * 8
    trial = ["a", "a", "b", "b", *"cdefghij"]
    variant = ["max", "mean", "D_lof", "D_cos"] + ["nll_margin"] * 8
    table = candidates.table.assign(trial=trial, family=family, variant=variant, paper=[True] * 4 + [False] * 8)
    own = {outcome.way: outcome for outcome in outcomes(replace(candidates, table=table))}
    evaluation = EvaluationSet.of(candidates, Standardiser())
    truth = evaluation.scorer(evaluation.scores)
    single = own["papers' settings, single"].value
    assert single == pytest.approx((truth[1] + (truth[2] + truth[3]) / 2) / 2)


def test_the_table_has_the_means_over_machines_and_marks_what_was_not_used() -> None:
    rows = [
        Outcome("a", "fan", 0.5, 0.8, 0.1),
        Outcome("a", "pump", 0.7, 0.6, 0.3),
        Outcome("b", "fan", math.nan, 0.9, 0.0),
        Outcome("b", "pump"),
        Outcome("c", "fan"),
        Outcome("c", "pump"),
    ]
    assert table(rows).splitlines()[2:] == [
        "| a | +0.60 (+0.50) | 0.200 | 0.700 | 0.800 | 0.600 |",
        "| b | – | 0.000 | 0.900 on 1 of 2 | 0.900 | – |",
        "| c | – | – | – | – | – |",
    ]


def test_machines_of_a_run_are_read_from_its_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for machine in ("fan", "pump"):
        make_ledger(tmp_path / "run", SMALL, machine, splits=SPLITS)
    assert [where for where, _ in candidates_of([f"{tmp_path}/run"])] == ["run fan", "run pump"]
    assert main([f"{tmp_path}/run:pump"]) == 0
    printed = capsys.readouterr()
    assert "run pump: 6 candidates of 3 trials, 48 test clips, 24 held-out clips, 48 faults" in printed.err
    assert "| way to choose | Spearman (least) | regret | value | run pump |" in printed.out
    assert "| ensemble, greedy on injected faults | – |" in printed.out
