"""Which trials a study asks for, what Optuna learns of them, and how a study is rebuilt from the ledger."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_ray.detectors import FAMILIES, Family, family
from asd_ray.errors import AsdRayError
from asd_ray.families import Resources
from asd_ray.ledger import TrialRecord
from asd_ray.ledger.record import ORACLE
from asd_ray.reporting.optuna_trials import as_trials
from asd_ray.tuning.prior import observations, portfolio
from asd_ray.tuning.spec import TrialSpec
from asd_ray.tuning.study import STATES, Study


def two_parameters(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0), "epochs": trial.suggest_categorical("epochs", [3, 9])}


def optuna_trials(study: Study) -> list[Any]:
    # Optuna gives a pruned trial its last intermediate value as value; its sampler uses intermediate values only
    seen = [
        (t.state.name, t.value if t.state.name == "COMPLETE" else None, t.params, t.intermediate_values, t.user_attrs)
        for t in study.optuna_study.trials
    ]
    return sorted(seen, key=repr)


def test_pruned_trials_are_pruned_in_optuna_and_in_the_ledger(bench: Any) -> None:
    study = bench.search(bench.study(8)).studies[0]
    pruned = [record for record in bench.records if record.status == "pruned"]
    assert len(pruned) == study.count("pruned") > 0
    for record in pruned:
        assert (record.objective, record.error) == (None, "")
        assert record.epochs == max(record.intermediate) in (1, 3)
        assert bench.ledger.scores(record).empty
    pruned_in_optuna = [t for t in study.optuna_study.trials if t.state.name == "PRUNED"]
    assert sorted(map(str, (t.intermediate_values for t in pruned_in_optuna))) == sorted(
        str(r.intermediate) for r in pruned
    )


def test_a_trial_is_pruned_only_when_enough_trials_reached_its_rung(bench: Any) -> None:
    bench.search(bench.study(8))
    assert all(record.status == "complete" for record in bench.records[:2])


def test_the_papers_setting_is_never_pruned(bench: Any) -> None:
    bench.search(bench.study(4))
    study = bench.study(2, seed=1)
    paper, other = study.ask(), study.ask()
    assert (paper.paper, other.paper) == (True, False)
    assert not study.report(paper, 3, -1.0)
    assert study.report(other, 3, -2.0)


def test_a_changed_paper_runs_although_the_wanted_trials_are_stored(bench: Any) -> None:
    bench.search(bench.study(3))
    changed = bench.study(3, x=0.25)
    assert changed.missing == 1
    assert bench.search(changed).ended == 1
    assert [(record.params["x"], record.paper) for record in bench.records[::3]] == [(0.75, True), (0.25, True)]
    again = bench.study(3, x=0.25)
    assert (again.count(), again.missing) == (4, 0)
    assert [record.params["x"] for record in again.records.values() if record.paper] == [0.25]
    assert [record.params["x"] for record in bench.study(3).records.values() if record.paper] == [0.75]


def test_a_changed_paper_that_is_stored_as_a_draw_is_not_run_again(bench: Any) -> None:
    bench.search(bench.study(3))
    x = bench.records[1].params["x"]
    changed = bench.study(3, x=x)
    assert changed.missing == 0
    assert [record.params["x"] for record in changed.records.values() if record.paper] == [x]


def test_a_changed_paper_that_was_pruned_as_a_draw_runs_to_its_end(bench: Any) -> None:
    bench.search(bench.study(8))
    pruned = next(record for record in bench.records if record.status == "pruned")
    changed = bench.study(8, x=pruned.params["x"])
    assert (changed.count(), changed.missing) == (7, 1)
    assert bench.search(changed).ended == 1
    ended = next(record for record in bench.records if record.trial == pruned.trial)
    assert (ended.status, ended.number, ended.paper) == ("complete", pruned.number, True)
    assert len(bench.records) == 8
    assert bench.study(8, x=pruned.params["x"]).missing == 0


def test_a_study_rebuilt_from_the_ledger_is_the_study_that_ran(bench: Any) -> None:
    ran = bench.search(bench.study(12, space=two_parameters, behaviour="raises")).studies[0]
    rebuilt = bench.study(12, space=two_parameters, behaviour="raises")
    assert {r.status for r in bench.records} == {"complete", "pruned", "failed"}
    assert optuna_trials(rebuilt) == optuna_trials(ran)
    assert rebuilt.count() == ran.count() == 12
    for study in (ran, rebuilt):
        assert {status: study.count(status) for status in STATES} == Counter(r.status for r in bench.records)
        times = [r.seconds for r in bench.records if r.status != "failed"]
        assert study.mean_seconds == pytest.approx(statistics.fmean(times))
        assert study.best == max((r for r in bench.records if r.objective), key=lambda r: r.objective)
    assert rebuilt.missing == 0
    assert rebuilt.best == ran.best


def test_a_rebuilt_study_asks_for_what_the_study_that_ran_would_ask(bench: Any) -> None:
    ran = bench.search(bench.study(11, space=two_parameters)).studies[0]
    assert bench.study(20, space=two_parameters).ask() == ran.ask()


def test_another_seed_adds_trials_of_its_own_with_the_papers_setting_again(bench: Any) -> None:
    bench.search(bench.study(3))
    assert bench.search(bench.study(3, seed=1)).ended == 3
    assert [(r.number, r.seed, r.paper) for r in bench.records] == [
        (0, 0, True), (1, 0, False), (2, 0, False), (3, 1, True), (4, 1, False), (5, 1, False),
    ]  # fmt: skip
    assert len({r.trial for r in bench.records}) == 6
    assert bench.study(3).missing == bench.study(3, seed=1).missing == 0
    assert len(bench.study(3, seed=1).optuna_study.trials) == 6


def test_a_cap_above_the_epochs_is_the_same_study(bench: Any) -> None:
    bench.search(bench.study(2, settings={"epochs_cap": 20}))
    assert bench.search(bench.study(3)).ended == 1
    assert bench.search(bench.study(3)).ended == 0
    assert len(bench.records) == 3


def test_trials_with_another_fixed_value_are_ignored(bench: Any) -> None:
    bench.search(bench.study(2))
    other = bench.study(2, epochs=3)
    assert (other.count(), other.incompatible) == (0, 2)


@pytest.mark.parametrize(
    "settings", [{"held_out": 0.2}, {"checkpoint": ORACLE}, {"epochs_cap": 5}], ids=lambda changes: next(iter(changes))
)
def test_trials_of_other_settings_are_another_study(bench: Any, settings: dict[str, Any]) -> None:
    bench.search(bench.study(2))
    other = bench.study(2, settings=settings)
    assert (other.count(), other.missing, other.incompatible) == (0, 2, 2)
    assert bench.search(other).ended == 2
    assert [record.number for record in bench.records] == [0, 1, 2, 3]
    assert bench.records[2].paper
    assert bench.study(2).missing == bench.study(2, settings=settings).missing == 0


def test_a_cap_limits_epochs(bench: Any) -> None:
    bench.search(bench.study(1, settings={"epochs_cap": 5}))
    (record,) = bench.records
    assert (record.epochs, record.params["epochs"], sorted(record.intermediate)) == (5, 9, [1])


def test_a_forgotten_trial_is_asked_for_again_with_the_same_number(bench: Any) -> None:
    study = bench.study(3)
    paper, second = study.ask(), study.ask()
    assert (study.running, study.missing) == (2, 1)
    study.forget(second)
    again = study.ask()
    assert (paper.number, second.number, again.number) == (0, 1, 1)
    assert (study.running, study.missing) == (2, 1)


def test_running_trials_are_all_different(bench: Any) -> None:
    study = bench.study(20, space=lambda trial: {"x": trial.suggest_int("x", 0, 5) / 1}, x=3)
    specs = list(iter(study.ask, None))
    assert len({spec.hash for spec in specs}) == len(specs) == 6
    assert study.exhausted
    assert study.missing == 0


def test_of_draws_with_one_effect_one_runs(bench: Any) -> None:
    """Here x matters in steps of two. The paper's setting runs even if its twin is stored."""
    how: dict[str, Any] = {
        "space": lambda trial: {"x": trial.suggest_int("x", 0, 5) / 1},
        "effect": lambda params: {**params, "x": params["x"] // 2},
    }
    assert sorted(spec.params["x"] // 2 for spec in iter(bench.study(20, x=3, **how).ask, None)) == [0, 1, 2]
    bench.search(bench.study(20, x=3, **how))
    assert len(bench.records) == 3
    hashes = {record.trial for record in bench.records}
    again = bench.study(20, x=2, **how)
    first = again.ask()
    assert (first.params["x"], first.paper) == (2, True)
    assert first.hash not in hashes
    assert again.ask() is None
    learned = [t.params["x"] for t in again.optuna_study.trials if t.state.name == "COMPLETE"]
    assert len(learned) > 3  # Optuna learns the values of the twins


def test_trials_outside_a_replaced_space_are_ignored(bench: Any) -> None:
    bench.search(bench.study(6))
    inside = [r for r in bench.records if 0.7 <= r.params["x"] <= 0.8]
    study = bench.study(6, space=lambda trial: {"x": trial.suggest_float("x", 0.7, 0.8)})
    assert (study.count(), study.incompatible) == (len(inside), 6 - len(inside))
    assert inside  # the paper's


# -- space files ------------------------------------------------------------------------------------------------------

GOOD = 'PAPER = {"x": 0.75}\ndef space(trial):\n    return {"x": trial.suggest_float("x", 0.0, 1.0)}\n'


@pytest.fixture
def study_of(bench: Any, tmp_path: Path) -> Callable[[str], Study]:
    def make(text: str) -> Study:
        path = tmp_path / "own_space.py"
        path.write_text(text)
        tiny = Family("tiny", "families_for_tests:Tiny")
        return Study(["fan"], tiny, tiny.search_space(path), bench.settings(), resources=Resources(), seed=0, wanted=4)

    return make


def test_a_good_space_file_is_used(study_of: Callable[[str], Study]) -> None:
    paper = study_of(GOOD).ask()
    assert paper is not None
    assert paper.params == {"x": 0.75}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('{"x": 0.75}', '{"x": 0.75, "depth": 3}'), "PAPER has 'depth', which families_for_tests:Tiny does not take; "
         "it takes batch_size, behaviour, epochs, x"),
        (('return {"x"', 'return {"depth"'), "space() gives 'depth', which PAPER does not have; add it there"),
        (("0.0, 1.0", "0.8, 1.0"), "out of the range"),
        (('"x", 0.0', '"y", 0.0'), "space() suggests 'y', which PAPER does not have; add it there"),
        (("    return", "    1 / 0\n    return"), "space(trial) raised ZeroDivisionError: division by zero"),
        (("1.0)}", "1.0) / 2}"), "with PAPER's values space() returns another 'x'; suggest each parameter"),
        (("PAPER", "paper"), "a search space needs PAPER = {…} (the paper's setting) and def space(trial)"),
        (("def space", "def spice"), "a search space needs PAPER"),
        (("def space", "import no_such_module\ndef space"), "cannot be run (ModuleNotFoundError: No module named"),
    ],
    ids=lambda change: change[1].strip() if isinstance(change, tuple) else "",
)  # fmt: skip
def test_a_bad_space_file_is_named_with_a_cure(
    study_of: Callable[[str], Study], tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(AsdRayError) as raised:
        study_of(GOOD.replace(*change))
    assert str(raised.value).startswith(f"{tmp_path / 'own_space.py'}: ")
    assert message in str(raised.value)


def test_a_space_that_raises_later_is_named(study_of: Callable[[str], Study], tmp_path: Path) -> None:
    study = study_of(GOOD.replace("    return", "    if trial.number:\n        raise KeyError('lr')\n    return"))
    assert study.ask() is not None
    with pytest.raises(AsdRayError, match=r"own_space\.py: space\(trial\) raised KeyError: 'lr'"):
        study.ask()


def stored(spec: TrialSpec, status: str = "complete") -> TrialRecord:
    return TrialRecord(
        trial=spec.hash,
        name=f"fan-{spec.family}-{spec.number:04d}",
        machine="fan",
        machines=["fan"],
        family=spec.family,
        number=spec.number,
        params=spec.params,
        settings=spec.settings,
        status=status,
        epochs=spec.epochs,
        version=spec.version,
        front_end=spec.front_end,
        objective=0.5 + 0.01 * spec.number if status == "complete" else None,
        variant="x",
        paper=spec.paper,
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_trial_that_a_family_asks_for_is_known_again(bench: Any, name: str) -> None:
    """Also to Optuna, to a search that takes it as prior, and to the report."""
    own = family(name)

    def study(records: list[TrialRecord] | None = None) -> Study:
        how = {"resources": Resources(), "seed": 0, "wanted": 6}
        return Study(["fan"], own, own.search_space(), bench.settings(), records=records or [], **how)

    first = study()
    records = []
    for _ in range(first.wanted):
        spec = first.ask()
        assert spec is not None
        records.append(stored(spec))
        first.tell(spec, records[-1])
    again = study(records)
    assert (len(again.records), again.incompatible, again.missing) == (6, 0, 0)
    assert sorted(map(repr, (t.params for t in again.optuna_study.trials))) == sorted(
        map(repr, (t.params for t in first.optuna_study.trials))
    )
    assert len(portfolio(observations([("run", record) for record in records], own.search_space()))) > 0
    assert [trial.value for trial in as_trials(records)] == [record.objective for record in records]


def test_a_joint_trial_is_the_papers_only_if_it_is_so_on_each_machine(bench: Any) -> None:
    own = family("aegan_ad")
    settings = replace(bench.settings(), year=2020)
    how = {"resources": Resources(), "seed": 0, "wanted": 1}
    joint = Study(["fan", "valve"], own, own.search_space(), settings, **how)
    alone = Study(["valve"], own, own.search_space().on(["valve"], 2020), settings, **how)
    assert [study.ask().paper for study in (joint, alone)] == [False, True]
