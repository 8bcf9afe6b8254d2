"""Trials with the paper's setting, judged by the score that the paper reports and not by their best one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest

from asd_ray.ledger import TrialRecord, paper_variants
from asd_ray.tuning.paper_score import by_papers_score
from asd_ray.tuning.result import StudyResult
from asd_ray.tuning.study import Study


def with_worse_variant(bench: Any) -> tuple[Study, TrialRecord]:
    """A study whose paper's trial has a second variant, `worse`, which is the first with the sign turned."""
    bench.search(bench.study(3))
    first = bench.records[0]
    table = bench.ledger.scores(first)
    worse = table.assign(variant="worse", score=-table["score"])
    bench.ledger.commit(first, pd.concat([table, worse], ignore_index=True), replace=True)
    return bench.study(3), first


def of(study: Study, bench: Any) -> dict[str, TrialRecord]:
    return by_papers_score([study], bench.source, bench.ledger)


def test_the_papers_trial_is_judged_by_the_papers_score(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study, first = with_worse_variant(bench)
    monkeypatch.setitem(paper_variants.PAPER_VARIANTS, "tiny", ("worse",))
    (own,) = of(study, bench).values()
    assert (own.trial, own.variant, first.variant) == (first.trial, "worse", "level")
    for cell, value in own.objective_parts.items():
        if "/auc" in cell:
            assert value == pytest.approx(1 - first.objective_parts[cell])
    assert own.objective is not None
    assert own.objective < first.objective
    changed = {"variant", "objective", "objective_parts"}
    for field in dataclasses.fields(TrialRecord):
        assert field.name in changed or getattr(own, field.name) == getattr(first, field.name)


def test_a_machine_and_an_edition_may_have_a_score_of_their_own(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study, first = with_worse_variant(bench)
    monkeypatch.setitem(paper_variants.PAPER_VARIANTS_OF, "tiny", {2022: {"fan": ("worse",)}})
    assert [own.variant for own in of(study, bench).values()] == ["worse"]
    monkeypatch.setitem(paper_variants.PAPER_VARIANTS_OF, "tiny", {2020: {"fan": ("worse",)}})
    assert of(study, bench) == {}, "no single score"


def test_the_best_score_is_kept_where_it_is_the_papers_or_the_only_one(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.search(bench.study(3))
    study, first = bench.study(3), bench.records[0]
    assert of(study, bench) == {first.trial: first}, "a user's family with one variant"
    study, first = with_worse_variant(bench)
    monkeypatch.setitem(paper_variants.PAPER_VARIANTS, "tiny", ("level",))
    assert of(study, bench) == {first.trial: first}


def test_a_trial_whose_scores_are_gone_is_left_out(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study, first = with_worse_variant(bench)
    monkeypatch.setitem(paper_variants.PAPER_VARIANTS, "tiny", ("worse",))
    bench.ledger.files.remove(bench.ledger.layout.trial_file(first.machine, first.family, first.trial, first.status))
    assert of(study, bench) == {}


def test_a_study_result_with_and_without_it_is_read(bench: Any) -> None:
    bench.search(bench.study(1))
    (first,) = bench.records
    own = dataclasses.replace(first, variant="worse", objective=0.2)
    result = StudyResult("fan-tiny", ("fan",), "tiny", 1, 1, 0, 0, False, first, first, own)
    stored = result.to_json()
    assert StudyResult.from_json(stored) == result
    del stored["paper_score"]
    assert StudyResult.from_json(stored) == dataclasses.replace(result, paper_score=None)
