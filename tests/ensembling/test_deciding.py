"""Which clips the threshold comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import EnsembleConfig, Recipe, Standardiser, build, load, verify
from asd_ray.ensembling.deciding import ranks_among
from asd_ray.ensembling.result import Ensemble
from asd_ray.ledger import Ledger, TrialRecord

Make = Callable[..., Ledger]
QUICK = EnsembleConfig(repeats=1, folds=2, draws=20)
BEFORE = replace(QUICK, rules=1)
LOUD = {"strength": 4.0, "year": None}
ONE = {"idnn": [{}]}


def made(ledger: Ledger, by: str, combine: str = "mean", config: EnsembleConfig = QUICK) -> Ensemble:
    recipe = Recipe("pair", "top_k", k=2, combine=(combine,), by=by)
    return build(load(ledger, "fan", by), recipe, config)


def recall(ensemble: Ensemble) -> float:
    assert ensemble.metrics.decisions is not None
    return ensemble.metrics.decisions.recall


@pytest.mark.parametrize("by", ["held_out", "train"])
def test_normal_clips_that_standardise_are_behind_the_threshold(ledger_of: Make, by: str) -> None:
    ensemble = made(ledger_of(per=20, **LOUD), by)
    assert (ensemble.threshold.source, ensemble.threshold.clips) == (by, 80)
    assert ensemble.threshold.exceeding == pytest.approx(8, abs=5)
    assert ensemble.threshold.description.startswith("the 90th percentile of 80 ")


@pytest.mark.parametrize("combine", ["mean", "max", "rank_mean"])
@pytest.mark.parametrize(("splits", "source"), [(("held_out",), "held_out"), (("train",), "train")])
def test_transductive_ensembles_take_normal_clips_where_there_are_any(
    ledger_of: Make, combine: str, splits: tuple[str, ...], source: str
) -> None:
    ledger = ledger_of(per=20, splits=(*splits, "test"), **LOUD)
    new, old = made(ledger, "test", combine), made(ledger, "test", combine, BEFORE)
    assert (new.threshold.source, new.threshold.clips) == (source, 80)
    assert recall(old) <= 0.25 < 0.9 < recall(new)
    assert max(verify(ledger, new).values()) <= 1e-9


def test_held_out_clips_come_before_training_clips(ledger_of: Make) -> None:
    ledger = ledger_of(per=20, **LOUD)
    assert made(ledger, "test").threshold.source == "held_out"
    assert made(ledger, "held_out", "rank_mean").threshold.source == "held_out"


@pytest.mark.parametrize("combine", ["mean", "max", "rank_mean"])
@pytest.mark.parametrize("how", ["z", "rank"])
def test_imported_systems_take_the_lower_mode_of_the_test_clips(ledger_of: Make, combine: str, how: str) -> None:
    ledger = ledger_of(per=40, splits=("test",), **LOUD)
    recipe = Recipe("pair", "top_k", k=2, combine=(combine,), by="test", standardise=Standardiser(how))
    candidates = load(ledger, "fan", "test")
    new, old = (build(candidates, recipe, config) for config in (QUICK, BEFORE))
    assert (new.threshold.how, new.threshold.source, new.threshold.clips) == ("mixture", "test", 320)
    assert new.threshold.normal_share == pytest.approx(0.5, abs=0.1)
    assert "taken for normal" in new.threshold.description
    assert recall(old) <= 0.25 < 0.9 < recall(new)
    assert new.metrics.decisions is not None
    assert new.metrics.decisions.precision > 0.85
    assert max(verify(ledger, new).values()) <= 1e-9


def test_test_clips_of_one_kind_all_count_as_normal(ledger_of: Make) -> None:
    ledger = ledger_of(per=40, splits=("test",), strength=0.0, year=None)
    limit = made(ledger, "test").threshold
    assert (limit.how, limit.normal_share) == ("empirical", None)
    assert limit.note == "the test clips do not show two kinds, so all of them count as normal"
    assert limit.exceeding == pytest.approx(32, abs=1)


@pytest.mark.parametrize("combine", ["mean", "rank_mean"])
def test_files_of_earlier_versions_keep_their_threshold_and_verify(ledger_of: Make, combine: str) -> None:
    ledger = ledger_of(per=20, **LOUD)
    old = made(ledger, "test", combine, BEFORE)
    stored = old.to_json()
    assert "rules" not in stored["wishes"]
    assert "warnings" not in stored
    assert not {"source", "clips", "exceeding"} & set(stored["threshold"])
    read = Ensemble.from_json(stored)
    assert (read, read.threshold.description) == (old, "")
    assert max(verify(ledger, read).values()) <= 1e-9


def test_a_normal_clip_is_ranked_as_if_it_were_one_more_test_clip() -> None:
    others = np.array([[1.0, 2.0, 3.0, 4.0], [40.0, 30.0, 20.0, 10.0]])
    clips = np.array([[0.0, 2.5, 2.0], [5.0, 25.0, 50.0]])
    assert ranks_among(clips, others, [1.0, 1.0]) == pytest.approx([0.0, 0.5, (1.5 / 4 + 1) / 2])
    assert ranks_among(clips, others, [1.0, 0.0]) == pytest.approx([0.0, 0.5, 1.5 / 4])


def test_rows_are_those_of_one_variant_and_are_read_once(ledger_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_of(per=6)
    read: list[str] = []
    scores = ledger.scores

    def counted(record: TrialRecord, splits: Sequence[str]) -> pd.DataFrame:
        read.append(record.trial)
        return scores(record, splits)

    monkeypatch.setattr(ledger, "scores", counted)
    members = load(ledger, "fan", "test").take([0, 1, 3])
    found = members.of_split("held_out")
    again = members.of_split("held_out")
    assert found is not None
    assert again is not None
    np.testing.assert_array_equal(found[1], again[1])
    assert read == [trial for trial, _ in members.pairs]
    assert members.rows_of is not None
    rows = members.rows_of(*members.pairs[0], "held_out")
    assert set(rows["variant"]) == {members.pairs[0][1]}
    assert len(rows) == len(found[0])


def test_of_split_reads_the_members_alone_and_in_their_order(ledger_of: Make) -> None:
    ledger = ledger_of(per=6)
    candidates = load(ledger, "fan", "test")
    members = candidates.take([3, 1])
    found = members.of_split("held_out")
    assert found is not None
    clips, scores = found
    by_held_out = load(ledger, "fan", "held_out")
    at = [by_held_out.pairs.index(pair) for pair in members.pairs]
    place = {clip: column for column, clip in enumerate(by_held_out.normal["clip"])}
    columns = [place[clip] for clip in clips["clip"]]
    np.testing.assert_array_equal(scores, by_held_out.normal_scores[at][:, columns])
    assert load(ledger_of(ONE, machine="pump", splits=("test",)), "pump", "test").of_split("train") is None
