"""unseen: what no choice saw measures the choice, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import EnsembleConfig, Recipe, choose, load, verify
from asd_ray.ensembling.candidates import Candidates
from asd_ray.ensembling.counts import DecisionCounts
from asd_ray.ensembling.ensemble_file import stored as stored_ensembles
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.final import mark_best, rank
from asd_ray.ensembling.protocols import measure
from asd_ray.ensembling.protocols.unseen import Unseen
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ensembling.unseen import UnseenClips
from asd_ray.errors import AsdRayError
from asd_ray.ledger import CandidateMatrix, Ledger, Settings, TrialRecord, long_scores, trial_hash
from asd_ray.reporting.machine import recipes
from tests.ensembling.conftest import make_candidates, make_clips, make_ensemble, make_metric, make_scores
from tests.ensembling.test_protocols import RECIPES
from tests.hostile import Verbs

CONFIG = EnsembleConfig(repeats=1, folds=2, draws=20)
GREEDY = Recipe("greedy", "greedy", size=10)
SETS = 30  # simulated searches


def with_unseen(candidates: Candidates, clips: pd.DataFrame, scores: Any) -> Candidates:
    matrix = CandidateMatrix("fan", "unseen", scores, clips, candidates.table)
    pairs = tuple(candidates.pairs)
    seen = frozenset(candidates.clips["clip"])
    return replace(candidates, unseen=UnseenClips("fan", pairs, frozenset(pairs), seen, lambda: matrix))


def fresh(per: int, name: str = "fresh") -> pd.DataFrame:
    clips = make_clips(per)
    return clips.assign(clip=name + clips["clip"])


def test_over_30_searches_unseen_is_right_and_oracle_is_not() -> None:
    """The truth of each chosen ensemble is its value on 12 times as many fresh clips."""
    draw, unseen, many = np.random.default_rng(0), fresh(20), fresh(250, "many")
    errors: dict[str, list[float]] = {"oracle": [], "unseen": []}
    for seed in range(SETS):
        strength = draw.normal(0.7, 0.3, 30)
        candidates = make_candidates(strength.tolist(), seed=seed)
        measured = {
            name: measure(
                EvaluationSet.of(
                    with_unseen(candidates, clips, make_scores(clips, strength, seed=10_000 + 3 * seed + at)),
                    Standardiser(),
                ),
                GREEDY,
                "unseen",
            ).value
            for at, (name, clips) in enumerate((("unseen", unseen), ("truth", many)))
        }
        measured["oracle"] = measure(EvaluationSet.of(candidates, Standardiser()), GREEDY, "oracle").value
        for name, own in errors.items():
            own.append(measured[name] - measured["truth"])
    mean = {name: float(np.mean(own)) for name, own in errors.items()}
    error = {name: float(np.std(own, ddof=1) / SETS**0.5) for name, own in errors.items()}
    assert abs(mean["unseen"]) < 2 * error["unseen"], (mean, error)
    assert mean["oracle"] > 4 * error["oracle"], (mean, error)
    assert mean["oracle"] > 0.02, (mean, error)


@pytest.mark.parametrize("recipe", [*RECIPES, Recipe("label_free", "label_free")], ids=lambda recipe: recipe.name)
def test_no_choice_reads_the_unseen_clips(recipe: Recipe) -> None:
    candidates = make_candidates((0.2, 1.4, 0.9, 0.5))

    def read() -> CandidateMatrix:
        raise AssertionError("the unseen clips were read")

    locked = with_unseen(candidates, fresh(4), candidates.scores[:, :32])
    assert locked.unseen is not None
    locked = replace(locked, unseen=replace(locked.unseen, read=read))
    evaluation = EvaluationSet.of(locked.take([0, 1, 2, 3]), Standardiser())
    for protocol in ("oracle", "crossval", "cross_id" if recipe.uses_labels else "label_free"):
        assert 0 < measure(evaluation, recipe, protocol, CONFIG).value <= 1
    with pytest.raises(AssertionError, match="the unseen clips were read"):
        measure(evaluation, recipe, "unseen", CONFIG)


def test_the_final_ensemble_is_never_chosen_by_the_unseen_number() -> None:
    ours = make_ensemble(crossval=make_metric(0.8), oracle=make_metric(0.9), unseen=make_metric(0.6))
    lucky = make_ensemble(crossval=make_metric(0.7), oracle=make_metric(0.9), unseen=make_metric(0.99))
    ours, lucky = (replace(each, recipe=replace(each.recipe, name=name)) for each, name in ((ours, "a"), (lucky, "b")))
    assert rank(ours) < rank(lucky)
    best, _ = mark_best([lucky, ours])
    assert best.name == "a"
    assert best.headline_protocol == "unseen"
    only_oracle = make_ensemble(oracle=make_metric(0.99), unseen=make_metric(0.99))
    assert rank(ours) < rank(only_oracle)  # an upper bound stays one beside a number of unseen clips


def fill(
    root: Path,
    splits: Callable[[int], tuple[str, ...]] = lambda number: ("held_out", "test", "unseen"),
    change: Callable[[pd.DataFrame, Any], Any] = lambda clips, scores: scores,
) -> Ledger:
    """Trials with labelled unseen clips, half as many as test clips. `change` may put others in the place of scores."""
    ledger = Ledger(root)
    tables = {"held_out": make_clips(20, "held_out"), "test": make_clips(8), "unseen": fresh(4).assign(split="unseen")}
    clips = pd.concat(list(tables.values()), ignore_index=True)
    for number in range(4):
        own = clips[clips["split"].isin(splits(number))].reset_index(drop=True)
        record = TrialRecord(
            trial=trial_hash(number=number),
            name=f"fan-idnn-{number:04d}",
            machine="fan",
            family="idnn",
            number=number,
            params={"lr": number},
            dataset="demo",
            data_fingerprint="f0f0f0f0f0f0",
            settings=Settings(year=2022, unseen=0.5),
            paper=number == 0,
        )
        ledger.commit(record, long_scores(own, {"mse": change(own, make_scores(own, [0.4 + 0.2 * number], number)[0])}))
    return ledger


def test_a_ledger_with_unseen_clips_has_the_number_first(tmp_path: Path) -> None:
    ledger = fill(tmp_path / "run")
    candidates = load(ledger, "fan")
    assert candidates.unseen is not None
    assert len(candidates.unseen.clips) == 32
    assert len(candidates.clips) == 64
    final = choose(ledger, "fan", ["top_k", "label_free"], CONFIG).final
    assert final.headline_protocol == "unseen"
    assert final.metrics["unseen"].single.protocol == "unseen"
    assert {"nested", "crossval", "oracle"} <= set(final.metrics)
    differences = verify(ledger, final)
    assert differences["metrics/unseen/value"] == max(differences.values()) == 0.0

    place = {pair: row for row, pair in enumerate(candidates.pairs)}
    rows = [place[member.pair] for member in final.members]
    clips = candidates.unseen.clips
    units = final.statistics.learned(final.recipe.standardise)(candidates.unseen.scores(rows), clips)
    by_hand = np.average(units, axis=0) if final.combine == "mean" else units.max(axis=0)
    evaluation = EvaluationSet.of(
        replace(candidates, clips=clips, scores=by_hand[None].astype(np.float32)), Standardiser("none")
    )
    assert final.metrics["unseen"].value == pytest.approx(float(evaluation.scorer(by_hand[None])[0]))
    alarms = by_hand > final.threshold.value
    assert final.counts == DecisionCounts.of("unseen", clips["label"], alarms)  # decided by the ensemble itself


def test_tables_that_compare_recipes_do_not_have_the_number(tmp_path: Path, verbs: Verbs) -> None:
    ledger = fill(tmp_path / "run")
    for wide in ((), ("--wide",)):
        output = verbs("ensemble", "fan", "--run", ledger.layout.root, "--recipe", "top_k", *wide).out
        [head] = [line.split() for line in output.splitlines() if line.startswith("recipe ")]
        assert "crossval" in head
        assert "unseen" not in head
        assert "\n  unseen 0." in output, "with the final ensemble"
    stored = stored_ensembles(ledger).ensembles["fan"]
    assert {"top_k.mean", "top_k.max", "final"} == set(stored)
    rows = recipes(stored)
    assert [row["protocol"] for row in rows] == ["crossval", "crossval"]
    assert all("unseen" not in row for row in rows)


def test_a_candidate_without_unseen_scores_is_a_note(tmp_path: Path) -> None:
    ledger = fill(tmp_path / "run", lambda number: ("held_out", "test", *(["unseen"] if number else [])))
    final = choose(ledger, "fan", ["top_k"], CONFIG).final
    assert "unseen" not in final.metrics
    reason = "no unseen: a candidate has no scores of unseen clips, first trial"
    assert any(note.startswith(reason) for note in final.notes)


def test_clips_that_chose_are_not_unseen() -> None:
    candidates = make_candidates((0.2, 1.4), per=4)
    both = with_unseen(candidates, candidates.clips, candidates.scores)
    assert both.unseen is not None
    assert both.unseen.reason_against(2022).startswith("32 unseen clips are among the test clips, first test_00")
    assert not Unseen().possible(EvaluationSet.of(both, Standardiser()), GREEDY)
    one_label = fresh(4)
    one_label = one_label[one_label["label"] == "normal"].reset_index(drop=True)
    normal = with_unseen(candidates, one_label, make_scores(one_label, (0.2, 1.4)))
    assert normal.unseen is not None
    assert normal.unseen.reason_against(2022) == "no id has normal and anomalous unseen clips"


def test_without_unseen_clips_there_is_no_number() -> None:
    evaluation = EvaluationSet.of(make_candidates((0.2, 1.4), per=4), Standardiser())
    with pytest.raises(AsdRayError, match="no unseen clips were set aside; search with --keep-unseen 0.5"):
        measure(evaluation, GREEDY, "unseen")
