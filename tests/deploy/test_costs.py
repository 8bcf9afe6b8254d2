"""What detectors cost, measured by the states of a small run. No test compares a clock with a number."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from asd_ray import Run
from asd_ray.deploy.costs import NO_STATE, Stopwatch
from asd_ray.detectors.families.idnn import IDNN
from asd_ray.detectors.state_file import from_bytes, to_bytes
from asd_ray.ensemble import main
from asd_ray.ensembling import verify
from asd_ray.ensembling.verifying import Verification
from asd_ray.errors import AsdRayError
from asd_ray.families.family import family
from tests.deploy.conftest import SmallRun
from tests.tables import rows_below


@pytest.fixture
def copy(small: SmallRun, tmp_path: Path) -> Run:
    """The small run, to change."""
    shutil.copytree(small.run.layout.root, tmp_path / "run")
    return Run(tmp_path / "run")


def trials_of(run: Run) -> list[str]:
    return [record.trial for record in run.records("fan")]


def state_file(run: Run, family: str) -> Path:
    [record] = run.records("fan", family)
    return Path(run.ledger.layout.state_file(family, record.trial))


def test_every_trial_has_its_cost_and_every_front_end_is_timed_once(small: SmallRun) -> None:
    trials, threads = trials_of(small.run), torch.get_num_threads()
    stopwatch = Stopwatch(small.run.ledger, "fan")
    costs = stopwatch.costs(trials)
    assert set(costs.detectors) == set(costs.uses) == set(trials)
    assert stopwatch.unmeasured == {}
    assert set(costs.features) == {name for uses in costs.uses.values() for name in uses}
    assert all(seconds > 0 for seconds in (*costs.detectors.values(), *costs.features.values()))
    assert costs.of(trials) <= sum(costs.of([trial]) for trial in trials)
    for record in small.run.records("fan"):
        detector = next(one for one in small.load().detectors.values() if type(one).__name__ in record.target)
        assert f"{detector.front_end.hash} float32" in costs.uses[record.trial]
    assert costs.computer == stopwatch.computer != ""
    assert torch.get_num_threads() == threads


def test_a_cost_is_measured_once(small: SmallRun) -> None:
    stopwatch = Stopwatch(small.run.ledger, "fan")
    [first, *_] = trials = trials_of(small.run)
    costs = stopwatch.costs([first])
    assert stopwatch.costs(trials).detectors[first] == costs.detectors[first]
    assert stopwatch.whole(trials) == stopwatch.whole(trials[::-1]) > 0


def test_a_trial_without_a_state_cannot_be_measured(copy: Run) -> None:
    state_file(copy, "idnn").unlink()
    state_file(copy, "twfr_gmm").write_bytes(b"broken")
    stopwatch = Stopwatch(copy.ledger, "fan")
    assert stopwatch.costs(trials_of(copy)).detectors == {}
    reasons = {record.family: stopwatch.unmeasured[record.trial] for record in copy.records("fan")}
    assert reasons["idnn"] == NO_STATE
    assert reasons["twfr_gmm"].startswith("the state of fan-twfr_gmm-0000: this is not the state of a detector")


def test_an_ensemble_within_a_limit_has_its_measured_time(copy: Run) -> None:
    ensemble = copy.ensemble("fan", ["best_per_family"], infer_limit="60s", final=True)
    inference = ensemble.inference
    assert inference is not None
    assert ensemble.config.infer_limit == 60
    assert 0 < inference.seconds < 60
    assert set(inference.costs.detectors) == set(trials_of(copy))
    assert copy.ensembles("fan")["fan"]["final"] == ensemble
    assert Verification(verify(copy.ledger, ensemble)).wrong == []
    assert copy.bundle("fan", Path(copy.layout.root).parent / "b").ensemble.inference == inference


def test_without_states_only_those_that_have_one_are_members(copy: Run) -> None:
    state_file(copy, "idnn").unlink()
    ensemble = copy.ensemble("fan", ["top_k"], infer_limit=60.0, final=True)
    assert {member.family for member in ensemble.members} == {"twfr_gmm"}
    note = f"left out: fan-idnn-0000: time not measured: {NO_STATE}"
    assert note in ensemble.notes
    state_file(copy, "twfr_gmm").unlink()
    with pytest.raises(
        AsdRayError, match="no candidate can be measured, so infer_limit cannot choose: the search kept"
    ):
        copy.ensemble("fan", ["top_k"], infer_limit=60.0, final=True)


def test_a_limit_that_nothing_keeps_names_the_fastest(small: SmallRun) -> None:
    with pytest.raises(
        AsdRayError, match=r"no candidate scores 10 s .* within 1e-06 ms .* fastest is fan-\w+-0000 with "
    ):
        small.run.ensemble("fan", ["top_k"], infer_limit=1e-9)
    with pytest.raises(AsdRayError, match="infer_limit must be a time such as 50ms or 0.05s, but got 'soon'"):
        small.run.ensemble("fan", ["top_k"], infer_limit="soon")


def test_a_class_of_a_notebook_is_measured_by_its_class(copy: Run) -> None:
    path = state_file(copy, "idnn")
    state, about = from_bytes(path.read_bytes(), "it")
    own = type("Mine", (IDNN,), {"__module__": "of_a_notebook"})
    known = family(own)
    mine = {"family": known.name, "target": known.target, "version": known.version}
    path.write_bytes(to_bytes(state, about | mine))
    trial = copy.records("fan", "idnn")[0].trial
    stopwatch = Stopwatch(copy.ledger, "fan")
    assert stopwatch.costs([trial]).detectors == {}
    assert "of_a_notebook" in stopwatch.unmeasured[trial]
    assert Stopwatch(copy.ledger, "fan", families=[own]).costs([trial]).detectors.keys() == {trial}


def test_the_command_shows_the_time_of_each_ensemble(
    copy: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    root = copy.layout.root
    assert main(["fan", "--run", root, "--infer-limit", "60s"]) == 0
    printed = capsys.readouterr().out
    stored = copy.ensembles("fan")["fan"]
    assert next(line for line in printed.splitlines() if line.startswith("recipe ")).split()[-1] == "ms"
    for name in ("best_single", "top_k.mean"):
        [row] = [row for row in rows_below(printed, "recipe") if row[0] == name]
        inference = stored[name].inference
        assert inference is not None
        assert row[-1] == f"{1000 * inference.seconds:.1f}"
    assert "ms: the whole ensemble for 10 s of sound, in one thread of " in printed
    assert "× fan-idnn-0000" in printed
    assert " ms alone" in printed
    assert main(["--verify", f"{root}/ensembles/fan/final.json"]) == 0
    capsys.readouterr()
    assert main(["fan", "--run", root]) == 0
    printed = capsys.readouterr().out
    assert " ms " not in printed
    assert "chosen with other options (infer_limit 60.0); it was replaced" in printed
