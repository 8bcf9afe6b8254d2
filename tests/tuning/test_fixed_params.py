"""Studies with fixed parameters (--set): each is a study of its own, beside those with other values in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asd_ray import AsdRayError, Dataset, Run
from asd_ray.ensembling import choose
from asd_ray.ledger import Ledger, verify
from asd_ray.ledger.forgetting import forget
from asd_ray.search import main
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.search import Search, run_serially


def two_parameters(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0), "epochs": trial.suggest_categorical("epochs", [3, 9])}


def few(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_categorical("x", [0.6, 0.75]), "epochs": trial.suggest_categorical("epochs", [3, 9])}


def epochs_and_flags(bench: Any) -> list[tuple[int, bool]]:
    return [(record.params["epochs"], record.paper) for record in bench.records]


@pytest.mark.parametrize("first", [{}, {"epochs": 3}], ids=["the whole space first", "the fixed value first"])
def test_studies_with_and_without_a_fixed_value_have_their_own_trials(bench: Any, first: dict[str, Any]) -> None:
    second = {"epochs": 3} if not first else {}
    for fixed in (first, second):
        assert bench.search(bench.study(5, space=two_parameters, fixed=fixed)).ended == 5
    before = bench.records
    assert (before[5].number, before[5].params["x"]) == (5, 0.75), "each study begins with the first setting"
    assert sum(record.extra.get("fixed_params") == {"epochs": 3} for record in before) == 5
    assert [record.paper for record in before].count(True) == 1
    for fixed in (first, second):
        study = bench.study(5, space=two_parameters, fixed=fixed)
        assert (study.count(), study.missing) == (5, 0)
        assert all(record.extra.get("fixed_params", {}) == fixed for record in study.records.values())
        assert len(study.optuna_study.trials) == 5
        assert bench.search(study).ended == 0
    assert bench.records == before
    assert len({record.name for record in before}) == 10


def test_a_fixed_value_replaces_the_papers_and_is_never_drawn(bench: Any) -> None:
    study = bench.search(bench.study(6, space=two_parameters, fixed={"epochs": 3, "batch_size": 8})).studies[0]
    assert bench.records[0].params == {"x": 0.75, "epochs": 3, "batch_size": 8, "behaviour": ""}
    assert {(record.params["epochs"], record.params["batch_size"]) for record in bench.records} == {(3, 8)}
    assert {record.paper for record in bench.records} == {False}
    assert {name for trial in study.optuna_study.trials for name in trial.params} == {"x"}


def test_a_study_with_fixed_values_goes_on_as_if_it_had_not_stopped(bench: Any) -> None:
    ran = bench.search(bench.study(6, space=two_parameters, fixed={"epochs": 3})).studies[0]
    ran.wanted = 9
    assert bench.study(9, space=two_parameters, fixed={"epochs": 3}).ask() == ran.ask()


def test_the_first_setting_of_fixed_values_is_never_pruned(bench: Any) -> None:
    bench.search(bench.study(4, fixed={"batch_size": 8}))
    study = bench.study(2, seed=1, fixed={"batch_size": 8})
    first, other = study.ask(), study.ask()
    assert (first.params["x"], first.paper, other.paper) == (0.75, False, False)
    assert not study.report(first, 3, -1.0)
    assert study.report(other, 3, -2.0)


def test_a_trial_that_another_study_stored_is_not_run_again(bench: Any) -> None:
    bench.search(bench.study(9, space=few))
    assert len(bench.records) == 4
    study = bench.study(9, space=few, fixed={"x": 0.75})
    assert study.count() == 1, "the paper's setting"
    assert bench.search(study).ended == 0
    assert study.exhausted
    assert len(study.optuna_study.trials) > 2
    assert len(bench.records) == 4


def test_the_papers_setting_of_fixed_values_that_are_papers_own_counts_in_both(bench: Any) -> None:
    bench.search(bench.study(1, space=two_parameters, fixed={"epochs": 9}))
    assert epochs_and_flags(bench) == [(9, True)]
    assert bench.study(1, space=two_parameters).missing == 0
    assert bench.search(bench.study(2, space=two_parameters)).ended == 1
    assert bench.study(1, space=two_parameters, fixed={"epochs": 9}).missing == 0


def test_a_pruned_draw_that_is_the_first_setting_runs_to_its_end_and_counts_in_both(bench: Any) -> None:
    bench.search(bench.study(8))
    pruned = next(record for record in bench.records if record.status == "pruned")
    fixed = {"x": pruned.params["x"]}
    study = bench.study(1, fixed=fixed)
    assert (study.count(), study.missing) == (0, 1)
    assert bench.search(study).ended == 1
    ended = next(record for record in bench.records if record.trial == pruned.trial)
    assert (ended.status, ended.number, ended.extra.get("fixed_params")) == ("complete", pruned.number, None)
    assert bench.study(1, fixed=fixed).missing == bench.study(8).missing == 0


def test_a_dead_worker_does_not_end_a_pruned_first_setting_that_runs_again(bench: Any) -> None:
    bench.search(bench.study(8))
    pruned = next(record for record in bench.records if record.status == "pruned")
    study = bench.study(1, fixed={"x": pruned.params["x"]})
    assert study.pruned_first == [pruned]
    forget(bench.ledger, study.pruned_first)
    search = Search([study], bench.source, bench.ledger)
    run = search.next()
    assert run is not None
    search.lost(run)
    assert not search.over, "its second attempt"
    run_serially(search)
    ended = next(record for record in bench.records if record.trial == pruned.trial)
    assert (ended.status, ended.number) == ("complete", pruned.number)


@pytest.fixture
def searched(small_machine: DataSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What `asd-ray search` prints, of a family that fits in a moment, into one run."""

    def run(*words: str) -> str:
        data = ["fan", "--data", str(small_machine.table.root), "--cache", str(tmp_path / "cache")]
        where = ["--families", "twfr_gmm", "--trials", "2", "--serial", "--run", str(tmp_path / "run")]
        assert main(["search", *data, *where, *words][1:]) == 0
        return capsys.readouterr().out

    return run


def test_the_same_command_again_runs_nothing_with_and_without_set(searched: Any, tmp_path: Path) -> None:
    with_set = ["--set", "twfr_gmm.components=1", "--set", "smote=true"]
    assert "2 trials run now, 2 in all" in searched()
    printed = searched(*with_set)
    assert "the same in every trial (--set): twfr_gmm.components=1, smote=True" in printed
    assert "2 trials run now, 2 in all" in printed
    for words in ([], with_set, with_set[2:] + with_set[:2]):
        assert "0 trials run now, 2 in all" in searched(*words)
    assert "2 trials run now, 2 in all" in searched("--set", "components=1")
    ledger = Ledger(tmp_path / "run")
    fixed = [record.extra.get("fixed_params") for record in ledger.records()]
    assert fixed == [None] * 2 + [{"components": 1, "smote": True}] * 2 + [{"components": 1}] * 2
    assert [record.paper for record in ledger.records()] == [True] + 5 * [False]
    assert verify(ledger).is_clean


def test_label_free_does_not_take_a_trial_with_fixed_values_as_the_papers(searched: Any, tmp_path: Path) -> None:
    searched("--set", "components=1")
    ledger = Ledger(tmp_path / "run")
    with pytest.raises(AsdRayError, match="needs a complete trial with the papers' settings, and the ledger has none"):
        choose(ledger, "fan", ["label_free"])
    searched()
    (paper,) = [record.trial for record in ledger.records() if record.paper]
    for ensemble in choose(ledger, "fan", ["label_free"]).ensembles:
        assert {member.trial for member in ensemble.members} == {paper}


def test_a_value_that_the_detector_refuses_is_told_before_anything_runs(
    small_machine: DataSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["fan", "--data", str(small_machine.table.root), "--run", str(tmp_path / "run")]
    assert main([*data, "--families", "twfr_gmm", "--serial", "--set", "components=0"]) == 2
    told = capsys.readouterr().err
    assert "nothing is left to search" in told
    assert "components" in told
    assert not (tmp_path / "run" / "ledger").exists()


def test_from_python_the_parameters_are_called_fixed_params(small_machine: DataSource, tmp_path: Path) -> None:
    data, run = Dataset(small_machine.table.root, cache=tmp_path / "cache"), Run(tmp_path / "run")
    options: dict[str, Any] = {"families": "twfr_gmm", "trials": 1, "serial": True, "quiet": True}
    result = run.search(data, "fan", fixed_params={"components": 1}, **options)
    assert result.ended == 1
    assert run.trials()["params_components"].tolist() == [1]
    assert result.studies[0].paper is None
    assert run.search(data, "fan", fixed_params={"twfr_gmm.components": 1}, **options).ended == 0
    assert run.search(data, "fan", **options).studies[0].paper is not None
