"""cross_machine: other machines' labels choose, this machine's labels measure."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from asd_ray.ensembling import (
    Ensemble,
    EnsembleConfig,
    Recipe,
    across_machines,
    build,
    choose,
    choose_all,
    finals,
    verify,
)
from asd_ray.ensembling.across_machines import MachineChoice, best_recipe, best_setting, carried_over, measured
from asd_ray.ensembling.candidates import Candidates, load
from asd_ray.ensembling.ensemble_file import FINAL
from asd_ray.ensembling.evaluation_set import EvaluationSet, ensemble_scores
from asd_ray.ensembling.protocols import CROSS_MACHINE, measure
from asd_ray.ensembling.standardise import Standardiser
from asd_ray.ensembling.trust import warnings_of, with_warnings
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger
from asd_ray.run import Run
from tests.ensembling.conftest import FAMILIES, make_candidates, make_clips, make_ledger, make_scores
from tests.hostile import Verbs

CONFIG = EnsembleConfig(repeats=1, folds=2, draws=10, threshold="empirical")
TOP, BEST, FREE = Recipe("top", "top_k", k=3), Recipe("best_single", "best"), Recipe("free", "label_free")
SETS = 30


def ensembles_of(candidates: Candidates, *recipes: Recipe) -> dict[str, Ensemble]:
    own = {recipe.name: build(candidates, recipe, CONFIG) for recipe in recipes}
    return own | {FINAL: next(iter(own.values()))}


def choice_of(candidates: Candidates, *recipes: Recipe) -> MachineChoice:
    return MachineChoice.of(candidates, ensembles_of(candidates, *recipes))


def of_machine(name: str, strength: Any, seed: int = 0, per: int = 15) -> Candidates:
    return replace(make_candidates(list(strength), per=per, seed=seed), machine=name)


def test_over_30_searches_cross_machine_is_right_and_oracle_is_not() -> None:
    """Settings have qualities that machines share in part. The truth is the value on 16 times as many clips."""
    draw, many = np.random.default_rng(2), make_clips(250)
    errors: dict[str, list[float]] = {"oracle": [], "cross_machine": []}
    for seed in range(SETS):
        shared = draw.normal(0.6, 0.25, 20)
        own = shared + draw.normal(0, 0.2, 20)
        others = [
            choice_of(of_machine(name, shared + draw.normal(0, 0.2, 20), 50 * seed + at + 1), TOP, BEST)
            for at, name in enumerate(("pump", "valve"))
        ]
        candidates = of_machine("fan", own, 50 * seed)
        evaluation = EvaluationSet.of(candidates, Standardiser())
        large = EvaluationSet.of(
            replace(candidates, clips=many, scores=make_scores(many, own, 30_000 + seed)), Standardiser()
        )
        top, single = (
            sum(other.ensembles[recipe.name].metrics["crossval"].value for other in others) for recipe in (TOP, BEST)
        )
        best = TOP if top > single else BEST
        chosen = carried_over(best, others, candidates)
        assert chosen is not None
        for number in (CROSS_MACHINE.measure(evaluation, best, chosen), measure(evaluation, TOP, "oracle")):
            true = ensemble_scores(large, TOP, number.selections[0], large.all_clips, rescaled=False)
            errors[number.protocol].append(number.value - float(large.scorer(true[None])[0]))
    mean = {name: float(np.mean(each)) for name, each in errors.items()}
    error = {name: float(np.std(each, ddof=1) / SETS**0.5) for name, each in errors.items()}
    assert abs(mean["cross_machine"]) < 2 * error["cross_machine"], (mean, error)
    assert mean["oracle"] > 4 * error["oracle"], (mean, error)


def test_a_machines_labels_have_no_say_in_what_carries_over() -> None:
    pump, fan = of_machine("pump", (0.2, 1.4, 0.9, 0.5), 1), of_machine("fan", (1.2, 0.1, 0.9, 0.5))
    others = [choice_of(pump, TOP, BEST)]
    turned = fan.clips.assign(label=np.where(fan.clips["label"] == "normal", "anomaly", "normal"))
    other_labels = replace(fan, clips=turned)
    assert carried_over(TOP, others, fan) == carried_over(TOP, others, other_labels)
    assert best_setting(others, fan) == best_setting(others, other_labels)
    names = [
        (again.notes[-1], again.metrics["cross_machine"].value)
        for each in (fan, other_labels)
        if (own := ensembles_of(each, TOP, BEST))
        and (best := best_recipe({name: one for name, one in own.items() if name != FINAL}, others))
        and (again := measured(each, own[FINAL], best, others))
    ]
    assert len(names) == 2
    assert names[0][0] == names[1][0]
    assert names[0][1] != names[1][1]  # the labels measure


def test_weights_are_means_over_machines_and_fall_to_the_papers_setting() -> None:
    pump, valve = of_machine("pump", (0.1, 0.1, 2.0, 0.1), 1), of_machine("valve", (0.1, 0.1, 0.1, 2.0), 2)
    best = Recipe("best_single", "best")
    others = [choice_of(pump, best), choice_of(valve, best)]
    fan = of_machine("fan", (0.5, 0.5, 0.5, 0.5))
    same = carried_over(best, others, fan)
    assert same is not None
    assert dict(zip(same.members, same.weights, strict=True)) == {2: 0.5, 3: 0.5}

    def with_params(params: list[dict[str, float]], **columns: Any) -> Candidates:
        return replace(fan, table=fan.table.assign(params=pd.Series(params, dtype=object), **columns))

    unlike = with_params([{"lr": 50.0 + row} for row in range(4)])
    papers = carried_over(best, others, unlike)
    assert papers is not None
    assert dict(zip(papers.members, papers.weights, strict=True)) == {0: 0.5, 1: 0.5}  # of idnn and of group_made
    assert best_setting(others, unlike) is None
    assert carried_over(best, others, with_params([{"lr": 50.0}] * 4, paper=False)) is None
    peeked = carried_over(best, others, with_params(fan.table["params"].tolist(), peeked=[False, False, True, False]))
    assert peeked is not None
    assert dict(zip(peeked.members, peeked.weights, strict=True)) == {0: 0.5, 3: 0.5}
    seeds = with_params([{"lr": 1.0}, {"lr": 0.1}, {"lr": 0.01}, {"lr": 0.01}], family="idnn")
    shared = carried_over(best, others[:1], seeds)
    assert shared is not None
    assert dict(zip(shared.members, shared.weights, strict=True)) == {2: 0.5, 3: 0.5}


def test_the_recipe_is_the_best_of_the_other_machines() -> None:
    fan, pump = of_machine("fan", (0.1, 0.1, 2.0)), of_machine("pump", (1.0, 1.0, 0.0), 1, per=40)
    own, others = ensembles_of(fan, BEST, FREE), [choice_of(pump, BEST, FREE)]
    compared = {name: each for name, each in own.items() if name != FINAL}
    best = best_recipe(compared, others)
    assert best is not None
    assert best.name == "free"  # two good papers' settings on pump; here the third candidate is far better
    again = measured(fan, own[FINAL], best, others)
    assert again is not None
    assert again.metrics["cross_machine"].value == own["free"].metrics["label_free"].value
    assert best_recipe({"top": build(fan, TOP, CONFIG)}, others) is None
    changed = replace(own["free"], recipe=replace(FREE, combine=("min",)))
    assert best_recipe({"free": changed}, others) is None


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    make_ledger(tmp_path / "run", machine="pump", strength=0.8)
    return make_ledger(tmp_path / "run", strength=0.6)


def test_the_command_measures_all_machines_of_a_run(ledger: Ledger, verbs: Verbs) -> None:
    words = ("--run", ledger.layout.root, "--recipe", "top_k", "--recipe", "label_free", "--folds", "2")
    output = verbs("ensemble", *words, "--repeats", "1").out
    for machine, final in finals(ledger).items():
        metric = final.metrics["cross_machine"]
        assert metric.single.protocol == "cross_machine"
        assert f"cross_machine {metric.value:.4f}" in output
        note = final.notes[-1]
        assert note.startswith("cross_machine: recipe ")
        assert note.endswith(f"chosen by the labels of {'pump' if machine == 'fan' else 'fan'}")
        assert set(verify(ledger, final).values()) == {0.0}
    assert f"cross_machine: {CROSS_MACHINE.sentence}." in output


def test_one_call_for_all_machines_gives_each_what_the_command_gives(
    ledger: Ledger, tmp_path: Path, verbs: Verbs
) -> None:
    shutil.copytree(ledger.layout.root, tmp_path / "typed")
    run = Run(ledger.layout.root)
    chosen = run.ensemble_all(recipes=["top_k", "label_free"], folds=2, repeats=1)
    assert list(chosen) == ["fan", "pump"]
    words = ("--run", tmp_path / "typed", "--recipe", "top_k", "--recipe", "label_free", "--folds", "2")
    verbs("ensemble", *words, "--repeats", "1")
    by_command = finals(Ledger(tmp_path / "typed"))
    for machine, final in chosen.items():
        assert "cross_machine" in final.metrics
        assert final == run.ensembles(machine)[machine]["final"]
        assert final.metrics == by_command[machine].metrics
    compared = run.compare_all(["pump", "pump"], "top_k", folds=2, repeats=1)
    assert [comparison.earlier for comparison in compared.values()] == [2]


def test_a_machine_that_fails_stops_no_other(tmp_path: Path, ledger: Ledger) -> None:
    make_ledger(tmp_path / "run", machine="valve", splits=("train", "test"))
    make_ledger(tmp_path / "run", machine="gearbox", splits=("train", "test"))
    found = choose_all(ledger, (), ["top_k"], CONFIG, by="held_out")
    assert list(found.of_machine) == list(found.finals) == ["fan", "pump"]
    assert all("cross_machine" in final.metrics for final in found.finals.values())
    assert list(found.failed) == ["gearbox", "valve"]
    with pytest.raises(AsdRayError, match="gearbox: no candidate has scores of held_out(.|\n)*valve: no candidate"):
        found.check()
    run = Run(ledger.layout.root)
    with pytest.raises(AsdRayError, match="^valve: no candidate has scores of held_out clips.*; use by train"):
        run.compare_all(["valve", "fan"], "top_k", by="held_out", folds=2, repeats=1)
    with pytest.raises(AsdRayError, match="unknown machine 'pumpe'; did you mean 'pump'"):
        run.ensemble_all(["fan", "pumpe"])
    with pytest.raises(AsdRayError, match="final makes the best of the named recipes the final ensemble"):
        run.ensemble_all(final=True)


def test_a_machine_of_the_same_name_of_another_run_has_no_say(ledger: Ledger, tmp_path: Path) -> None:
    alone = make_ledger(tmp_path / "alone", strength=0.6)
    [comparison] = across_machines(alone, [choose(alone, "fan", ["top_k"], CONFIG)])
    assert "cross_machine" not in comparison.final.metrics
    choose(ledger, "fan", ["top_k"], CONFIG)
    [comparison] = across_machines(alone, [comparison], [ledger])
    assert "cross_machine" not in comparison.final.metrics
    assert comparison.notes[-1].startswith("no cross_machine: no other machine of this run or of --others has")
    choose(ledger, "pump", ["top_k"], CONFIG)
    [comparison] = across_machines(alone, [comparison], [ledger])
    assert "cross_machine" in comparison.final.metrics
    assert comparison.final == finals(alone)["fan"]


def test_what_does_not_carry_over_is_a_note(tmp_path: Path) -> None:
    make_ledger(tmp_path / "run", {"aegan_ad": FAMILIES["aegan_ad"]}, "pump")
    ledger = make_ledger(tmp_path / "run")
    compared = [choose(ledger, machine, ["best_single"], CONFIG) for machine in ("fan", "pump")]
    reason = "no cross_machine: no setting of the other machines is among this machine's candidates"
    for comparison in across_machines(ledger, compared):
        assert comparison.notes[-1] == reason
    choose(ledger, "pump", ["top_k"], CONFIG, final=True)
    [comparison] = across_machines(ledger, compared[:1])
    assert comparison.notes[-1] in (reason, "no cross_machine: no recipe has an ensemble on every other machine")


def test_the_warnings_look_at_the_numbers_of_the_final_ensemble(ledger: Ledger) -> None:
    """Few clips, so that nested has numbers that the recipe's own ensemble lacks."""
    compared = [choose(ledger, machine, ["best_single", "top_k"], CONFIG) for machine in ("fan", "pump")]
    for comparison in [*compared, *across_machines(ledger, compared)]:
        final = comparison.final
        assert "nested" in final.metrics
        candidates = load(ledger, final.machine, final.recipe.by, only=final.candidates.all)
        assert final.warnings == warnings_of(final, candidates)


def test_a_number_that_is_added_is_warned_of() -> None:
    candidates = make_candidates()
    final = build(candidates, TOP, CONFIG)
    assert final.warnings is not None
    perfect = replace(final.metrics["crossval"], value=1.0, interval=(1.0, 1.0))
    metrics = replace(final.metrics, by_protocol={**final.metrics.by_protocol, "nested": perfect})
    again = with_warnings(replace(final, metrics=metrics), candidates)
    assert again.warnings is not None
    assert not any("nested" in warning.sentence for warning in final.warnings)
    assert any("nested" in warning.sentence for warning in again.warnings)
