from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from asd_ray.detectors import family
from asd_ray.errors import AsdRayError
from asd_ray.ledger import Ledger, TrialRecord, long_scores, trial_hash
from asd_ray.reporting.optuna_db import write_optuna_db

CLIPS = pd.DataFrame(
    {"clip": ["a.wav", "b.wav"], "id": "00", "domain": "", "split": "test", "label": ["normal", "anomaly"]}
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run")


@pytest.fixture
def commit(ledger: Ledger) -> Callable[..., TrialRecord]:
    def make(number: int = 0, params: dict[str, Any] | None = None, **changes: Any) -> TrialRecord:
        machine, family = changes.get("machine", "fan"), changes.get("family", "own")
        given: dict[str, Any] = {
            "trial": trial_hash(family=family, number=number),
            "name": f"{machine}-{family}-{number:04d}",
            "machine": machine,
            "family": family,
            "number": number,
            "params": {"lr": 10.0**-number, "depth": number, "norm": "batch"} if params is None else params,
            "objective": 0.5 + number / 100,
            "protocol": "oracle",
            "variant": "mse",
            "seconds": 90.0,
            "created": "2026-01-02T03:04:05+00:00",
        } | changes
        record = TrialRecord(**given)
        scored = record.status == "complete"
        ledger.commit(record, long_scores(CLIPS, {"mse": [0.0, 1.0]}) if scored else None)
        return record

    return make


def loaded(path: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def test_every_trial_of_every_machine_and_family_is_read_back_as_it_ended(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    done = commit(0, objective_parts={"00/auc": 0.5, "00/pauc": math.nan}, intermediate={1: 0.25, 3: 0.5})
    commit(1, status="pruned", objective=None, variant="", intermediate={1: 0.125, 2: math.nan})
    commit(2, status="failed", objective=None, variant="", error="out of memory")
    commit(0, machine="pump")
    commit(0, family="other")
    result = write_optuna_db(ledger, tmp_path / "studies.db")
    assert (result.studies, result.trials, result.notes) == (3, 5, [])
    assert optuna.get_all_study_names(f"sqlite:///{result.path}") == ["fan-other", "fan-own", "pump-own"]

    study = loaded(result.path, "fan-own")
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["hmean of AUC and pAUC (oracle)"]
    complete, pruned, failed = study.trials
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 0.5)
    assert complete.params == {"lr": 1.0, "depth": 0}
    assert complete.user_attrs["fixed"] == {"norm": "batch"}
    assert complete.intermediate_values == {1: 0.25, 3: 0.5}
    assert complete.duration is not None
    assert complete.duration.total_seconds() == 90
    expected = complete.user_attrs
    assert (expected["trial"], expected["name"], expected["variant"], expected["protocol"], expected["seconds"]) == (
        done.trial,
        "fan-own-0000",
        "mse",
        "oracle",
        90.0,
    )
    assert expected["objective_parts"] == {"00/auc": 0.5, "00/pauc": None}
    assert (pruned.state, pruned.value) == (TrialState.PRUNED, 0.125)
    assert pruned.intermediate_values[1] == 0.125
    assert math.isnan(pruned.intermediate_values[2])
    assert (failed.state, failed.value, failed.user_attrs["error"]) == (TrialState.FAIL, None, "out of memory")
    assert study.best_trial.number == 0


def test_a_study_has_the_distributions_of_the_shipped_space(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    space = family("twfr_gmm").search_space()
    sampled = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    expected = []
    for number in range(4):
        asked = sampled.ask()
        drawn = space.space(asked)
        expected.append((asked.params, asked.distributions))
        commit(number, {**space.paper, **drawn}, family="twfr_gmm")
    study = loaded(write_optuna_db(ledger, tmp_path / "studies.db").path, "fan-twfr_gmm")
    assert [(trial.params, trial.distributions) for trial in study.trials] == expected
    assert len({len(params) for params, _ in expected}) > 1, "a conditional parameter shows only where it was drawn"


@pytest.mark.parametrize("strange", [{"r": 7.5}, {"r": 0.5, "new": "x"}])
def test_trials_of_another_space_have_distributions_of_the_values_seen(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path, strange: dict[str, Any]
) -> None:
    space = family("twfr_gmm").search_space()
    commit(0, space.paper, family="twfr_gmm")
    commit(1, space.paper | strange, family="twfr_gmm")
    paper, other = loaded(write_optuna_db(ledger, tmp_path / "studies.db").path, "fan-twfr_gmm").trials
    assert paper.params["r"] == 1.0
    assert other.params == strange
    spans = paper.distributions["r"]
    assert spans == other.distributions["r"]
    assert isinstance(spans, FloatDistribution)
    assert (spans.low, spans.high) == ((1.0, 7.5) if strange["r"] == 7.5 else (0.0, 1.0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 1, 2], IntDistribution(1, 3)),
        ([3, 0.5], FloatDistribution(0.5, 3)),
        (["b", "a", "b"], CategoricalDistribution(["a", "b"])),
        ([None, 2], CategoricalDistribution([2, None])),
        ([True, False], CategoricalDistribution([False, True])),
        (["a"], CategoricalDistribution(["a"])),
    ],
)
def test_the_values_of_an_unknown_family_make_its_distributions(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path, values: list[Any], expected: Any
) -> None:
    for number, value in enumerate(values):
        commit(number, {"p": value})
    trials = loaded(write_optuna_db(ledger, tmp_path / "studies.db").path, "fan-own").trials
    assert [trial.params["p"] for trial in trials] == values
    assert {repr(trial.distributions["p"]) for trial in trials} == {repr(expected)}


def test_importances_can_be_computed(ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path) -> None:
    for number in range(8):
        commit(number, {"good": number, "idle": (number * 5) % 3}, objective=number / 10)
    study = loaded(write_optuna_db(ledger, tmp_path / "studies.db").path, "fan-own")
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    assert next(iter(optuna.importance.get_param_importances(study, evaluator=evaluator))) == "good"


def test_the_file_is_made_anew_and_nothing_else_lies_beside_it(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    path = tmp_path / "out" / "studies.db"
    for number in range(2):
        commit(number)
        assert write_optuna_db(ledger, path).trials == number + 1
    assert len(loaded(path, "fan-own").trials) == 2
    assert [each.name for each in path.parent.iterdir()] == ["studies.db"]


def test_what_is_not_ours_is_not_written_over(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    commit(0)
    text, foreign = tmp_path / "notes.txt", tmp_path / "mine.db"
    text.write_text("mine")
    optuna.create_study(storage=f"sqlite:///{foreign}", study_name="mine")
    before = foreign.read_bytes()
    with pytest.raises(
        AsdRayError, match="notes.txt exists and is not a study file .*name another file with --optuna-db"
    ):
        write_optuna_db(ledger, text)
    with pytest.raises(AsdRayError, match="holds studies that do not come from a ledger .1. and would be lost"):
        write_optuna_db(ledger, foreign)
    with pytest.raises(AsdRayError, match="a file on a local disk"):
        write_optuna_db(ledger, f"sqlite:///{tmp_path}/new.db")
    assert (text.read_text(), foreign.read_bytes()) == ("mine", before)


def test_a_file_that_cannot_be_written_leaves_nothing(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(AsdRayError, match="cannot be written"):
        write_optuna_db(ledger, tmp_path / "file" / "studies.db")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(AsdRayError, match="No space left on device"):
        write_optuna_db(ledger, tmp_path / "out" / "studies.db")
    assert list((tmp_path / "out").iterdir()) == []


def test_trials_without_an_objective_are_counted_and_left_out(
    ledger: Ledger, commit: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    commit(0, family="import", source="import", objective=None)
    with pytest.raises(AsdRayError, match="no trial of a search has an objective"):
        write_optuna_db(ledger, tmp_path / "studies.db")
    commit(1)
    result = write_optuna_db(ledger, tmp_path / "studies.db")
    assert (result.studies, result.trials) == (1, 1)
    assert result.notes == ["trials without an objective are left out (imported systems, unlabelled test clips): 1"]


def test_optuna_is_imported_only_to_write() -> None:
    code = "import sys, asd_ray.reporting.optuna_db; print(*({'optuna', 'torch', 'ray'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""
