"""A search that begins with what was good on other machines: the portfolio, the study, and wrong priors."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from asd_ray import Dataset, Run
from asd_ray.families import Space
from asd_ray.ledger import Ledger, Settings, TrialRecord, trial_hash
from asd_ray.tuning.data import DataSource
from asd_ray.tuning.prior import Observation, Prior, Suggestion, observations, portfolio

HERE = Path(__file__).parent
PAPER: dict[str, Any] = {"x": 0.75, "epochs": 9, "batch_size": 64, "behaviour": ""}  # of the tiny family


def one_number(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


def two_kinds(trial: Any) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return {"kind": kind, **({"depth": trial.suggest_int("depth", 1, 64, log=True)} if kind == "b" else {})}


SPACE = Space("space_for_tests.py", PAPER, one_number)


def stored(machine: str, x: float, objective: float | None, **fields: Any) -> TrialRecord:
    """A trial of the tiny family that an earlier search has stored."""
    params = {**PAPER, "x": x}
    return TrialRecord(
        **{
            "trial": trial_hash(machine=machine, x=x),
            "name": f"{machine}-tiny-x{round(100 * x):03d}",
            "machine": machine,
            "family": "tiny",
            "params": params,
            "objective": objective,
            "settings": Settings(fingerprint=machine),
            **fields,
        }
    )


def prior_of(values: dict[str, dict[float, float]], size: int = 5, **fields: Any) -> list[float]:
    """The x of the portfolio of machines with these values of x."""
    records = [("run", stored(name, x, value, **fields)) for name, of in values.items() for x, value in of.items()]
    return [suggestion.suggested["x"] for suggestion in portfolio(observations(records, SPACE), size)]


def test_a_setting_that_is_good_on_every_machine_comes_first() -> None:
    fan = {0.0: 0.99, 0.2: 0.5, 0.5: 0.9, 0.8: 0.6, 1.0: 0.4}  # its best is the worst of the others
    pump = {0.0: 0.4, 0.2: 0.5, 0.5: 0.9, 0.8: 0.95, 1.0: 0.45}
    valve = {0.0: 0.4, 0.2: 0.5, 0.5: 0.9, 0.8: 0.6, 1.0: 0.95}
    assert prior_of({"fan": fan, "pump": pump, "valve": valve}, 1) == [0.5]


def test_the_next_setting_is_one_for_the_machines_that_the_first_does_not_suit() -> None:
    three = {0.0: 0.4, 0.3: 0.5, 0.6: 0.8, 0.7: 0.9, 1.0: 0.3}
    other = {0.0: 0.9, 0.3: 0.8, 0.6: 0.4, 0.7: 0.3, 1.0: 0.5}
    chosen = prior_of({"fan": three, "pump": three, "slider": three, "valve": other}, 2)
    assert chosen[0] in (0.6, 0.7)
    assert chosen[1] in (0.0, 0.3)


def test_machines_count_alike_whatever_the_size_of_their_values() -> None:
    easy = {0.0: 0.9, 0.3: 0.5, 0.6: 0.1}
    hard = {0.0: 0.500, 0.3: 0.501, 0.6: 0.502}
    assert prior_of({"fan": easy, "pump": hard, "valve": hard}, 1) == prior_of({"fan": hard, "pump": hard}, 1) == [0.6]


@pytest.mark.parametrize("flagged", [0.75, 0.5], ids=["PAPER", "an older PAPER"])
def test_the_papers_setting_is_not_in_the_portfolio_but_counts_as_tried(flagged: float) -> None:
    values = {0.0: 0.7, 0.5: 0.8, 0.75: 0.9}
    records = [("run", stored("fan", x, value, paper=x == flagged)) for x, value in values.items()]
    assert [suggestion.suggested["x"] for suggestion in portfolio(observations(records, SPACE))] == [0.5, 0.0]


def test_a_pruned_trial_is_worse_than_any_complete_one_and_is_never_tried() -> None:
    records = [("run", stored("fan", x, 0.5 + x / 10)) for x in (0.0, 0.1)]
    records += [("run", stored("fan", x, None, status="pruned", intermediate={3: 0.9})) for x in (0.9, 1.0)]
    records += [("run", stored("fan", 0.5, None, status="failed", error="no"))]
    (own,) = observations(records, SPACE).values()
    assert [(seen.value, seen.complete) for seen in own] == [(0.625, True), (0.875, True), (0.25, False), (0.25, False)]
    assert {suggestion.suggested["x"] for suggestion in portfolio(observations(records, SPACE))} == {0.0, 0.1}


def test_values_of_other_settings_are_ranked_apart() -> None:
    """An objective by normal sound alone has another unit than one by labels."""
    labels = [stored("fan", x, x) for x in (0.1, 0.2)]
    blind = [
        dataclasses.replace(stored("fan", x, 1.0 - x), settings=Settings(fingerprint="fan", objective="normal-only"))
        for x in (0.3, 0.4)
    ]
    by_origin = observations([("run", record) for record in labels + blind], SPACE)
    assert [[seen.value for seen in own] for own in by_origin.values()] == [[0.25, 0.75], [0.75, 0.25]]


def test_choices_and_parameters_that_only_some_settings_have() -> None:
    paper = {"kind": "b", "depth": 8}
    space = Space("space_for_tests.py", paper, two_kinds)
    values = [({"kind": "b", "depth": 64}, 0.9), ({"kind": "b", "depth": 2}, 0.4), ({"kind": "a", "depth": 8}, 0.6)]
    records = [
        ("run", dataclasses.replace(stored(name, at, value), params=params))
        for name in ("fan", "pump")
        for at, (params, value) in enumerate(values)
    ]
    first, second, third = portfolio(observations(records, space))
    assert (first.suggested, first.params) == ({"kind": "b", "depth": 64}, {"kind": "b", "depth": 64})
    assert (second.suggested, second.params) == ({"kind": "a"}, {"kind": "a", "depth": 8})
    assert third.suggested == {"kind": "b", "depth": 2}


def test_no_trials_give_no_portfolio() -> None:
    nothing: dict[tuple[str, str, str], list[Observation]] = {}
    assert portfolio(nothing) == []


def suggestions(*xs: float) -> list[Suggestion]:
    return [Suggestion({**PAPER, "x": x}, {"x": x}, f"pump-tiny-{at:04d}") for at, x in enumerate(xs, start=1)]


def warm(bench: Any, wanted: int, first: Sequence[Suggestion], **how: Any) -> Any:
    study = bench.study(wanted, **how)
    return type(study)(
        study.machines,
        study.family,
        study.space,
        study.settings,
        resources=study.resources,
        seed=study.seed,
        wanted=wanted,
        records=bench.ledger.records("fan", "tiny"),
        first=first,
    )


def test_the_portfolio_comes_after_the_papers_setting_and_its_trials_say_so(bench: Any) -> None:
    bench.search(warm(bench, 4, suggestions(0.9, 0.95)))
    assert [record.params["x"] for record in bench.records[:3]] == [0.75, 0.9, 0.95]
    assert [record.extra.get("prior") for record in bench.records] == [None, "pump-tiny-0001", "pump-tiny-0002", None]
    assert [record.name for record in bench.records] == [f"fan-tiny-{at:04d}" for at in range(4)]


def test_the_trial_is_the_same_whether_or_not_a_prior_gave_it(bench: Any) -> None:
    cold = bench.search(bench.study(2))
    x = next(record.params["x"] for record in bench.records if not record.paper)
    assert warm(bench, 3, suggestions(x)).ask().prior == ""  # it is stored already
    before = {record.trial for record in bench.records}
    bench.ledger = Ledger(Path(bench.ledger.layout.root) / "again")
    bench.search(warm(bench, 2, suggestions(x)))
    assert {record.trial for record in bench.records} == before
    assert cold.ended == 2


def test_a_warm_search_finds_the_optimum_in_fewer_trials(bench: Any) -> None:
    """The score of the tiny family is the better, the larger x is; other machines had 0.99."""
    others = [("run", stored(name, x, x)) for name in ("pump", "valve") for x in (0.1, 0.3, 0.5, 0.7, 0.99)]

    def trials_until_good(first: Sequence[Suggestion]) -> int:
        study = warm(bench, 30, first)
        for at in range(30):
            if study.ask().params["x"] > 0.98:
                return at
        return 30

    assert trials_until_good(portfolio(observations(others, SPACE))) == 1 < trials_until_good(())


def test_a_resumed_search_goes_on_with_the_portfolio(bench: Any) -> None:
    first = suggestions(0.9, 0.95, 0.97, 0.99)
    bench.search(warm(bench, 3, first))
    bench.search(warm(bench, 7, first))
    assert [record.params["x"] for record in bench.records[1:5]] == [0.9, 0.95, 0.97, 0.99]
    assert sum("prior" in record.extra for record in bench.records) == 4
    halves = [record.trial for record in bench.records]
    bench.ledger = Ledger(Path(bench.ledger.layout.root) / "whole")
    bench.search(warm(bench, 7, first))
    assert [record.trial for record in bench.records] == halves


def test_a_prior_that_has_changed_does_not_begin_anew(bench: Any) -> None:
    bench.search(warm(bench, 3, suggestions(0.9, 0.95)))
    bench.search(warm(bench, 6, suggestions(0.97, 0.98)))
    assert sum("prior" in record.extra for record in bench.records) == 2


def test_the_trials_of_a_prior_are_none_of_the_study(bench: Any) -> None:
    """They count for nothing: not as trials, not as the best, and no trial is pruned because of them."""
    study = warm(bench, 4, suggestions(0.9, 0.95, 0.99))
    assert (study.count(), study.best, study.missing, study.optuna_study.trials) == (0, None, 4, [])
    spec = [study.ask(), study.ask()][1]
    assert spec.prior == "pump-tiny-0001"
    assert not study.report(spec, 3, -1.0)  # it is the first at its rung, where three are compared
    study = bench.search(warm(bench, 4, suggestions(0.9, 0.95, 0.99))).studies[0]
    assert len(study.optuna_study.trials) == study.count() == 4
    assert study.best in bench.records


def test_a_machine_that_is_searched_is_left_out_of_every_run(ledger: Ledger, tmp_path: Path) -> None:
    """By its name, by its clips, and where it was trained together with others."""
    other = Ledger(tmp_path / "other")
    for at in (ledger, other):
        for machine, x in (("fan", 0.9), ("pump", 0.5)):
            at.commit(stored(machine, x, 0.8, status="complete"), scores_of(machine))
    other.commit(stored("renamed", 0.8, 0.8, data_fingerprint="clips of fan"), scores_of("renamed"))
    other.commit(stored("valve", 0.7, 0.8, machines=("fan", "valve")), scores_of("valve"))
    runs = [str(one.layout.root) for one in (ledger, other)]
    prior = Prior(runs, {"fan": "clips of fan"})
    assert {suggestion.name for suggestion in prior.suggestions("tiny", SPACE)} == {"pump-tiny-x050"}
    assert prior.notes == [
        f"--prior: fan of {runs[0]} is left out: it is the machine that is searched",
        f"--prior: fan of {runs[1]} is left out: it is the machine that is searched",
        f"--prior: renamed of {runs[1]} is left out: its clips are those of fan, which is searched",
        f"--prior: valve of {runs[1]} is left out: it was trained together with fan, which this command searches",
    ]
    nothing = Prior(runs, {"fan": "clips of fan", "pump": "", "valve": ""})
    assert (nothing.runs, nothing.suggestions("tiny", SPACE)) == ([], [])
    assert nothing.lines([[]]) == nothing.notes


def test_the_setting_of_paper_of_is_not_suggested_where_every_study_begins_with_it(ledger: Ledger) -> None:
    ledger.commit(stored("pump", 0.5, 0.8), scores_of("pump"))
    ledger.commit(stored("pump", 0.4, 0.1, params={"y": 1.0}), scores_of("pump"))
    space = dataclasses.replace(SPACE, paper_of={2022: {"fan": {"x": 0.5}}})
    prior = Prior([str(ledger.layout.root)], {"fan": "", "valve": ""})
    portfolios = [prior.suggestions("tiny", space.on([machine], 2022)) for machine in ("fan", "valve", "slider")]
    assert [[suggestion.params["x"] for suggestion in own] for own in portfolios] == [[], [0.5], [0.5]]
    lines = prior.lines(portfolios)
    assert len(lines) == 2
    assert "1 of 2 trials of tiny are of another search space" in lines[1]


def scores_of(machine: str) -> Any:
    import pandas as pd

    row = {"split": "test", "clip": f"{machine}.wav", "id": "00", "domain": "source", "label": "normal"}
    return pd.DataFrame([{**row, "variant": "level", "score": 0.5}])


# -- from the command line and from Python ----------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(HERE)
    return "families_for_tests:Tiny"


def spaces(folder: Path, choices: str = "0.0, 1.0") -> dict[str, Path]:
    path = folder / f"{choices.replace(', ', '_')}.py"
    space = f'def space(trial):\n    return {{"x": trial.suggest_float("x", {choices})}}\n'
    path.write_text(f"PAPER = {PAPER | {'epochs': 1}!r}\n\n\n{space}")
    return {"tiny": path}


@pytest.fixture
def of_pump(two_machines: DataSource, tmp_path: Path, tiny: str) -> tuple[Dataset, Run, dict[str, Any]]:
    """A run of five trials of pump, and how to search fan, which has other clips."""
    root = shutil.copytree(two_machines.table.root, tmp_path / "two")
    clip = next((root / "dev_data" / "pump" / "train").iterdir())
    samples, rate = soundfile.read(clip)
    soundfile.write(clip, samples[::-1], rate, subtype="PCM_16")
    data = Dataset(root, cache=two_machines.cache)
    how: dict[str, Any] = {"families": tiny, "spaces": spaces(tmp_path), "serial": True}
    run = Run(tmp_path / "pump")
    run.search(data, "pump", trials=5, quiet=True, **how)
    return data, run, how


def test_a_search_with_a_prior(of_pump: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, pump, how = of_pump
    run = Run(tmp_path / "fan")
    run.search(data, "fan", trials=3, prior=pump, **how)
    assert "1 of 1 studies try up to 4 settings after the paper's that were good in" in capsys.readouterr().out
    given = [record for record in run.ledger.records() if "prior" in record.extra]
    of_pump_by_name = {record.name: record.params for record in pump.ledger.records()}
    assert len(given) == 2
    assert all(of_pump_by_name[record.extra["prior"]] == record.params for record in given)
    assert run.search(data, "fan", trials=3, prior=[pump], quiet=True, **how).ended == 0
    assert run.search(data, "fan", trials=5, prior=[str(pump.layout.root)], quiet=True, **how).ended == 2
    assert sum("prior" in record.extra for record in run.ledger.records()) == 4


@pytest.mark.parametrize("blind", [{"keep_unseen": 0.5}, {"objective": "normal-only", "held_out": 0.4}])
def test_labels_of_the_machine_itself_do_not_come_in_by_a_prior(
    blind: dict[str, Any], of_pump: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another run searched the same machine by all its labels, which this search must not see."""
    data, pump, how = of_pump
    run = Run(tmp_path / "new")
    run.search(data, "pump", trials=3, prior=pump, **blind, **how)
    said = " ".join(capsys.readouterr().out.split())
    assert f"pump of {pump.layout.root} is left out: it is the machine that is searched" in said
    assert len(run.ledger.records()) == 3
    assert not any("prior" in record.extra for record in run.ledger.records())


def test_a_search_without_labels_says_that_labels_led_its_prior(
    of_pump: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, pump, how = of_pump
    blind = {**how, "objective": "normal-only", "held_out": 0.4}
    unlabelled = Run(tmp_path / "unlabelled")
    unlabelled.search(data, "pump", trials=3, quiet=True, **blind)
    words = "labels of other machines led the trials of the prior, so they choose what is tried first"
    for name, prior, options, said in (
        ("a", pump, blind, True),
        ("b", unlabelled, blind, False),
        ("c", pump, how, False),
        ("d", None, blind, False),
    ):
        Run(tmp_path / name).search(data, "fan", trials=1, prior=prior or (), **options)
        assert (words in " ".join(capsys.readouterr().out.split())) == said, name


def test_without_a_prior_nothing_changes(of_pump: Any, tmp_path: Path) -> None:
    data, pump, how = of_pump
    pump.search(data, "fan", trials=4, quiet=True, **how)
    assert not any("prior" in record.extra for record in pump.ledger.records())
    alone = Run(tmp_path / "alone")
    alone.search(data, "fan", trials=4, quiet=True, **how)
    assert {r.trial for r in alone.ledger.records()} == {r.trial for r in pump.ledger.records("fan")}


def test_wrong_priors_are_named_and_do_not_end_the_search(
    of_pump: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, pump, how = of_pump
    run = Run(tmp_path / "fan")
    result = run.search(data, "fan", trials=2, prior=[tmp_path / "nowhere", HERE / "conftest.py"], **how)
    out = " ".join(capsys.readouterr().out.split())
    assert result.ended == 2
    assert "nowhere is not used: it has no trials of a search yet; name the folder or s3:// address of a run" in out
    assert "conftest.py is not used:" in out
    other = {**how, "spaces": spaces(tmp_path, "0.7, 0.8")}
    run.search(data, "fan", trials=3, prior=pump, **other)
    out = " ".join(capsys.readouterr().out.split())
    assert "4 of 5 trials of tiny are of another search space and are not used" in out
    run.search(data, "fan", trials=1, prior=pump, families="twfr_gmm", serial=True)
    assert "no trial of twfr_gmm in" in " ".join(capsys.readouterr().out.split())


def test_the_command_takes_several_runs() -> None:
    from asd_ray.cli._arguments import parser
    from asd_ray.cli._search_arguments import add_arguments
    from asd_ray.cli.search import _config

    made = parser("search", "", [])
    add_arguments(made)
    args = made.parse_args(["fan", "--prior", "a", "b", "--serial", "--prior", "c"])
    assert (args.machines, _config(args).prior) == (["fan"], ["a", "b", "c"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_with_a_prior_on_ray(of_pump: Any, tmp_path: Path) -> None:
    """In a process of its own: Ray is started once per process."""
    data, pump, how = of_pump
    words = ["search", "fan", "--data", data.root, "--run", tmp_path / "fan", "--families", how["families"]]
    words += [word for name, path in how["spaces"].items() for word in ("--space", f"{name}={path}")]
    words += ["--trials", "4", "--prior", pump.layout.root, "--cpus", "1", "--no-dashboard", "--cache", data.cache]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    command = [sys.executable, "-m", "asd_ray", *map(str, words)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    records = sorted(Run(tmp_path / "fan").ledger.records(), key=lambda record: record.number)
    assert [record.paper for record in records] == [True, False, False, False]
    assert sum("prior" in record.extra for record in records) == 3
