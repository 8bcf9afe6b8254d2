"""Rows of a run's trials with the papers' settings, beside published numbers."""

from __future__ import annotations

from typing import Any

import pytest

from asd_ray.ledger import Settings, TrialRecord
from asd_ray.ledger.record import ORACLE
from asd_ray.papers.measure import AUC, PAUC
from asd_ray.reporting.own_papers import rows_of_papers
from asd_ray.reporting.published import TABLES, comparison

from .test_published import facts


def record(trial: str, machine: str = "fan", family: str = "stgram", **fields: Any) -> TrialRecord:
    return TrialRecord(trial=trial * 16, name=f"{machine}-{family}-{trial}", machine=machine, family=family, **fields)


def row(of: TrialRecord, variant: str, auc: float, *, own: bool = False, paper: bool = True) -> dict[str, Any]:
    """A row of a leaderboard; AUC and pAUC of two ids."""
    cells = {"00/auc": auc, "02/auc": auc - 0.2, "00/pauc": auc - 0.1, "02/pauc": auc - 0.3}
    facts = {"paper": paper, "paper_score": own, "cells": cells}
    return {"trial": of.trial, "variant": variant, "seed": of.seed, "family": of.family, **facts}


def rows(*board: dict[str, Any], records: list[TrialRecord], machine: str = "fan") -> list[dict[str, Any]]:
    return rows_of_papers({machine: board}, records, (AUC, PAUC))


def test_the_papers_score_has_a_row_and_the_best_score_another_one() -> None:
    first, drawn = record("a"), record("b")
    board = [row(drawn, "nll", 1.0, paper=False), row(first, "nll", 0.95), row(first, "nll_margin", 0.9, own=True)]
    by_paper, by_labels = rows(*board, records=[first, drawn])
    assert by_paper == {
        "system": "this run, stgram, setting and score of the paper (nll_margin)",
        "protocol": "single detector, last epoch; labels only measure it",
        "own": True,
        "values": {"fan": [pytest.approx(80.0), pytest.approx(70.0)]},
    }
    assert by_labels["system"] == "this run, stgram, setting of the paper, best score (nll)"
    assert by_labels["protocol"] == "single detector, last epoch; score chosen with test labels"
    assert by_labels["values"] == {"fan": [pytest.approx(85.0), pytest.approx(75.0)]}


def test_one_row_is_enough_where_the_papers_score_is_the_best() -> None:
    first = record("a")
    board = [row(first, "nll_margin", 0.9, own=True), row(first, "nll", 0.8)]
    (only,) = rows(*board, records=[first])
    assert "setting and score of the paper" in only["system"]


def test_a_paper_without_a_single_score_has_the_row_by_labels_alone() -> None:
    first = record("a", family="aegan_ad")
    (only,) = rows(row(first, "D_lof", 0.9), row(first, "D_knn", 0.8), records=[first])
    assert only["system"] == "this run, aegan_ad, setting of the paper, best score (D_lof)"
    assert only["protocol"].endswith("chosen with test labels")


def test_seeds_are_averaged() -> None:
    seeds = [record("a"), record("b", seed=1), record("c", seed=2)]
    board = [row(each, "nll_margin", auc, own=True) for each, auc in zip(seeds, (0.9, 0.8, 0.7), strict=True)]
    (only,) = rows(*board, records=seeds)
    assert only["protocol"] == "single detector, last epoch, mean of 3 seeds; labels only measure it"
    assert only["values"]["fan"] == pytest.approx([70.0, 60.0])


def test_trials_that_were_trained_in_another_way_have_a_row_of_their_own() -> None:
    of_paper = {"epochs": 200}
    given = [
        record("a", params=of_paper, settings=Settings(epochs_cap=300)),
        record("b", params=of_paper, settings=Settings(epochs_cap=2)),
        record("c", params=of_paper, settings=Settings(checkpoint=ORACLE)),
        record("d", params=of_paper, settings=Settings(), machines=("fan", "pump")),
    ]
    found = rows(*(row(each, "nll_margin", 0.9, own=True) for each in given), records=given)
    assert {each["protocol"].removeprefix("single detector, ").removesuffix("; labels only measure it")
            for each in found} == {
        "last epoch",
        "last epoch, at most 2 epochs (--epochs-cap)",
        "best epoch, chosen with test labels",
        "last epoch, one model for 2 machines",
    }  # fmt: skip
    assert len(found) == 4


def test_machines_share_a_row_and_trials_without_labels_have_none() -> None:
    both = [record("a"), record("b", machine="pump")]
    boards = {each.machine: [row(each, "nll_margin", 0.9, own=True)] for each in both}
    (only,) = rows_of_papers(boards, both, (AUC, PAUC))
    assert list(only["values"]) == ["fan", "pump"]
    unmeasured = [{**row(each, "nll_margin", 0.9), "cells": {}} for each in both]
    assert rows(*unmeasured, records=both) == []


def test_they_stand_between_the_ensembles_and_the_published_rows() -> None:
    first = record("a", settings=Settings())
    given = facts()
    cells = given["final"].metrics["crossval"].cells
    given["leaderboard"] = {"rows": [{**row(first, "nll_margin", 0.9, own=True), "cells": cells}]}
    compared = comparison({"fan": given}, [first])
    assert compared is not None
    systems = [each["system"] for each in compared["rows"]]
    own = "this run, stgram, setting and score of the paper (nll_margin)"
    assert systems[:3] == ["this run, crossval", "this run, oracle", own]
    assert systems[3:] == [each.system for each in TABLES[0].rows]
    assert compared["rows"][2]["values"] == {"fan": pytest.approx([85.0, 80.0])}
