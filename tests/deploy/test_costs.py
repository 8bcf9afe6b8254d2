"""What detectors cost, measured by the states of a small run. No test compares a clock with a number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asd_ray import Run
from asd_ray.deploy.costs import LONG, NO_STATE, WARM_UP, Stopwatch, _repeated
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


def test_without_a_limit_the_final_ensemble_has_its_cost_in_the_report_and_in_the_card(
    copy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy.layout.root
    assert main(["fan", "--run", root, "--recipe", "best_per_family", "--final"]) == 0
    final = copy.ensembles("fan")["fan"]["final"]
    assert final.cost is not None
    assert final.cost.seconds > 0
    assert final.cost.computer == Stopwatch(copy.ledger, "fan").computer
    assert Verification(verify(copy.ledger, final)).reason == ""
    report = copy.report(tmp_path / "report")
    stored = json.loads((tmp_path / "report" / "report.json").read_text())
    assert stored["verdicts"]["fan"]["cost"] == final.cost.sentence
    assert f"Cost: {final.cost.sentence}." in (tmp_path / "report" / "report.md").read_text()
    assert "Not measured" not in Path(report.page).read_text().partition("<dt>Cost</dt>")[2].partition("</dd>")[0]
    bundle = copy.bundle("fan", tmp_path / "b")
    assert bundle.ensemble.cost == final.cost
    assert f"Its detectors take {final.cost.sentence}.\n" in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert main(["--verify", f"{root}/ensembles/fan/final.json"]) == 0


@pytest.mark.parametrize(
    ("break_it", "reason", "cure"),
    [
        (lambda path: path.unlink(), "Not measured.", "--keep-states all"),
        (lambda path: path.write_bytes(b"broken"), "Not measured: the state of", "asd-ray ensemble fan --run"),
    ],
)
def test_without_a_state_the_ensemble_is_chosen_and_the_report_says_what_to_do(
    break_it: Callable[[Path], object], reason: str, cure: str, copy: Run, tmp_path: Path
) -> None:
    break_it(state_file(copy, "idnn"))
    final = copy.ensemble("fan", ["best_per_family"], final=True)
    assert {member.family for member in final.members} == {"idnn", "twfr_gmm"}
    assert final.cost is None
    page = Path(copy.report(tmp_path / "report").page).read_text()
    said = page.partition("<dt>Cost</dt><dd>")[2].partition("</dd>")[0]
    assert said.startswith(reason)
    assert cure in said


def test_a_detector_that_fails_costs_nothing_but_its_number(copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ValueError("I score no noise")

    monkeypatch.setattr(IDNN, "score", fail)
    assert copy.ensemble("fan", ["best_per_family"], final=True).cost is None
    stopwatch, trial = Stopwatch(copy.ledger, "fan"), copy.records("fan", "idnn")[0].trial
    assert stopwatch.costs([trial]).detectors == {}
    assert stopwatch.unmeasured[trial] == "fan-idnn-0000 cannot score 10 s of noise (I score no noise)"


@pytest.mark.parametrize(
    ("seconds", "scores"), [(0.01, 2 + 9), (0.3, 2 + 4), (0.45, 2 + 3), (0.9, 2 + 3), (1.5, 1 + 2), (20.0, 1 + 1)]
)
def test_a_slow_detector_is_scored_less_often(seconds: float, scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("asd_ray.deploy.costs.time.process_time", lambda: clock[0])

    def score() -> float:
        clock[0] += seconds
        return clock[0]

    warm = 1 if seconds > LONG else WARM_UP
    assert _repeated(score) == pytest.approx([seconds * (1 + at) for at in range(warm, scores)])


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
    recipe = ["best_per_family"]
    assert copy.ensemble("fan", recipe, final=True).cost is None
    assert copy.ensemble("fan", recipe, final=True, families=[own]).cost is not None


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
