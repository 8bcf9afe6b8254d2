"""asd_ray from Python: a dataset, a run, a search with a class of one's own, trials and scores as tables."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import asd_ray
from asd_ray import PRESETS, AsdRayError, Dataset, Progress, Resources, Run
from asd_ray._wording import as_arguments
from asd_ray.tuning.result import SearchResult
from tests.tables import rows_below

from .tuning.searches import loud_set

LOUDNESS = '''
import numpy as np
from asd_ray import PRESETS, Progress, Resources


class Loudness:
    """The level of a clip."""

    RESOURCES = Resources()

    def __init__(self, context, *, power=2.0):
        self.context, self.power = context, power

    @staticmethod
    def space(trial):
        return {"power": trial.suggest_float("power", 0.5, 4.0)}

    @property
    def front_end(self):
        return PRESETS["baseline"].at(self.context.rate)

    def levels(self, clips):
        return np.array([np.mean(np.abs(clips.samples(i) / 32768.0) ** self.power) for i in range(len(clips))])

    def fit(self, train):
        self.mean = float(self.levels(train).mean())
        yield Progress(1, {"level": self.mean})

    def score(self, clips):
        levels = self.levels(clips)
        return {"level": levels, "distance": np.abs(levels - self.mean)}

    def state(self):
        return {"mean": self.mean}

    def load(self, state):
        self.mean = state["mean"]
'''


class Loudness:
    """The level of a clip, as one score and as another."""

    RESOURCES = Resources()
    VERSION = 1

    def __init__(self, context: Any, *, power: float = 2.0) -> None:
        self.context, self.power, self.mean = context, power, 0.0

    @staticmethod
    def space(trial: Any) -> dict[str, Any]:
        return {"power": trial.suggest_float("power", 0.5, 4.0)}

    @property
    def front_end(self) -> Any:
        return PRESETS["baseline"].at(self.context.rate)

    def levels(self, clips: Any) -> Any:
        return np.array([np.mean(np.abs(clips.samples(i) / 32768.0) ** self.power) for i in range(len(clips))])

    def fit(self, train: Any) -> Any:
        self.mean = float(self.levels(train).mean())
        yield Progress(1, {"level": self.mean})

    def score(self, clips: Any) -> Any:
        levels = self.levels(clips)
        return {"level": levels, "distance": np.abs(levels - self.mean)}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def load(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loud_set(tmp_path_factory.mktemp("library") / "loud", gain=1.5)


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Dataset:
    return Dataset(folder, cache=tmp_path / "cache")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def test_a_dataset_has_clips_machines_and_problems(data: Dataset) -> None:
    assert data.machines == ["fan"]
    assert {"machine", "id", "domain", "split", "label", "path"} <= set(data.clips.columns)
    assert len(data.clips) == len(data.bank()) == 40
    assert all(problem.severity != "error" for problem in data.problems)
    report = data.check(decode=False)
    assert report.ok
    assert len(report.clips) == 40


def test_a_table_that_a_user_changes_is_a_copy(data: Dataset) -> None:
    changed = data.clips
    changed["machine"] = "pump"
    assert data.machines == ["fan"]


def test_a_search_with_a_class_of_ones_own(data: Dataset, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = run.search(data, ["fan"], families=["twfr_gmm", Loudness], trials=3, serial=True)
    assert (result.ended, result.stored, result.missing, result.stopped) == (6, 6, 0, "")
    assert [study.family for study in result.studies] == ["twfr_gmm", "loudness"]
    assert SearchResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert len(repr(result)) < 1000
    printed = capsys.readouterr().out
    assert "fan-loudness-0000" in printed
    assert "next: run.ensemble('fan')" in printed

    trials = run.trials()
    assert list(trials["family"]) == 3 * ["loudness"] + 3 * ["twfr_gmm"]
    own = trials[trials["family"] == "loudness"]
    assert list(own["paper"]) == [True, False, False]
    assert own["params_power"].iloc[0] == 2.0
    assert own["params_power"].nunique() == 3
    assert trials.loc[trials["family"] == "twfr_gmm", "params_power"].isna().all()

    best = run.best("fan")
    assert best.objective == trials["objective"].max()
    assert run.best("fan", "loudness").params["power"] in set(own["params_power"])
    assert run.trial(best.name) == run.trial(best.trial) == best

    scores = run.scores(best)
    assert len(scores) == 40  # one row per clip
    assert set(scores["split"]) == {"train", "held_out", "test"}
    loud = run.scores("fan-loudness-0000", variant="all", splits=["test"])
    assert set(loud["variant"]) == {"level", "distance"}
    assert len(loud) == 2 * 24


def test_the_same_call_runs_nothing_again_and_a_larger_one_what_is_missing(
    data: Dataset, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for trials, expected in ((2, 2), (2, 0), (3, 1)):
        result = run.search(data, "fan", families=Loudness, trials=trials, serial=True, quiet=True)
        assert (result.ended, result.stored) == (expected, trials)
    assert capsys.readouterr().out == ""


def test_a_search_of_the_library_and_one_of_the_command_are_the_same(
    data: Dataset, run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.search(data, ["fan"], families=["twfr_gmm"], trials=2, serial=True)
    printed = capsys.readouterr().out
    from asd_ray.cli.search import main

    words = ["fan", "--data", folder, "--run", run.layout.root, "--cache", tmp_path / "cache", "--serial"]
    assert main([*map(str, words), "--families", "twfr_gmm", "--trials", "2"]) == 0
    again = capsys.readouterr().out
    assert "2 trials are stored already and are not run again" in again
    assert "0 trials run now, 2 in all" in again
    assert rows_below(printed, "#") == rows_below(again, "#")
    assert len(rows_below(again, "#")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"families": ["stgrm"]}, "unknown family 'stgrm'; did you mean 'stgram'"),
        ({"machines": ["fam"]}, "unknown machine 'fam'; did you mean 'fan'"),
        ({"held_out": 0.9}, "held_out must be a number between 0 and 0.5 but got 0.9"),
        ({"held_out": "0.1"}, "held_out must be a number between 0 and 0.5 but got '0.1'"),
        ({"trials": -1}, "trials must be a whole number from 1 but got -1"),
        ({"trials": 0}, "trials must be a whole number from 1 but got 0"),
        ({"trials": 1.5}, "trials must be a whole number from 1 but got 1.5"),
        ({"trials": "3"}, "trials must be a whole number from 1 but got '3'"),
        ({"trials": True}, "trials must be a whole number from 1 but got True"),
        ({"epochs_cap": 0}, "epochs_cap must be a whole number from 1 but got 0"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295 but got -1"),
        ({"seed": 1.0}, "seed must be a whole number from 0 to 4294967295 but got 1.0"),
        ({"checkpoint": "best"}, "checkpoint must be last or oracle but got 'best'"),
        ({"cpus_per_trial": -1}, "cpus_per_trial must be a share up to 1"),
        ({"cpus_per_trial": 0}, "cpus_per_trial must be above 0"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial must be a share up to 1"),
        ({"memory_per_trial": -1}, "memory_per_trial must be GiB from 0"),
        ({"time": 0}, "time must be above 0, in seconds or such as 30m, but got 0"),
        ({"time": "30"}, "time must be above 0, in seconds or such as 30m, but got '30'"),
        ({"serial": True, "trial_time": "5s"}, "serial runs in this very process"),
        ({"address": "ray://head:10001", "serial": False}, "for a cluster use asd-ray search"),
        ({"log_level": "loud"}, "log_level must be one of debug, info, warning, error"),
        ({"spaces": {"idnn": "my.py"}}, "spaces idnn=my.py: name its family: spaces FAMILY=FILE"),
        ({"fixed_params": {"lr": 1}}, "fixed_params lr: unknown parameter 'lr'; did you mean 'r'"),
        ({"fixed_params": [1]}, "fixed_params takes names and values, such as "),
        ({"families": [int]}, "family builtins:int lacks RESOURCES, fit, score, state, load of the contract"),
        ({"families": [Loudness(None)]}, "give a family's name or a class, not .*Loudness object"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_an_error_with_its_cure(
    data: Dataset, run: Run, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AsdRayError, match=message):
        run.search(data, **{"families": ["twfr_gmm"], "serial": True, "quiet": True, **arguments})
    assert not Path(run.layout.ledger).exists()


def test_commands_in_messages_stay_as_a_shell_takes_them() -> None:
    text = "--held-out is wrong; run: asd-ray search fan --held-out 0.1\nnot installed; pip install --upgrade asd_ray"
    told = "held_out is wrong; run: asd-ray search fan --held-out 0.1\nnot installed; pip install --upgrade asd_ray"
    assert as_arguments(text) == told


def test_one_name_is_a_list_of_one(folder: Path, tmp_path: Path, run: Run) -> None:
    data = Dataset(folder, machines="fan", cache=tmp_path / "cache")
    run.search(data, "fan", families=Loudness, trials=1, serial=True, quiet=True)
    assert len(run.scores("fan-loudness-0000", splits="test")) == 24
    assert run.ensemble("fan", "best_single").members[0].family == "loudness"
    with pytest.raises(AsdRayError, match="unknown split 'tst'; did you mean 'test'"):
        run.scores("fan-loudness-0000", splits="tst")
    with pytest.raises(AsdRayError, match="unknown field of EnsembleConfig 'fold'; did you mean 'folds'"):
        run.ensemble("fan", "best_single", fold=3)


def test_a_path_is_a_dataset(folder: Path, run: Run) -> None:
    assert run.search(folder, families=Loudness, trials=1, serial=True, quiet=True).ended == 1


def test_a_search_in_a_thread_runs_without_a_handler_of_its_own(data: Dataset, run: Run) -> None:
    with ThreadPoolExecutor(1) as pool:
        options = {"families": Loudness, "trials": 2, "serial": True, "quiet": True}
        assert pool.submit(run.search, data, **options).result().ended == 2


def test_ctrl_c_ends_the_search_and_then_the_script(
    data: Dataset, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Loudness):
        def fit(self, train: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            yield from super().fit(train)

    with pytest.raises(KeyboardInterrupt):
        run.search(data, families=Interrupted, trials=3, serial=True)
    assert list(run.trials()["status"]) == ["complete"]  # the one that ran was finished
    assert "ended early (Ctrl-C): 2 trials are missing; call run.search again to go on" in capsys.readouterr().out


def test_a_search_leaves_the_process_as_it_was(data: Dataset, run: Run) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run.search(data, families=Loudness, trials=1, serial=True, quiet=True)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert gc.get_freeze_count() == 0


def test_trials_of_several_machines(tmp_path: Path, run: Run) -> None:
    """Each machine has its own file of a joint trial."""
    from .tuning.conftest import record

    for machine in ("fan", "pump"):
        record(tmp_path / "two", machine)
    data = Dataset(tmp_path / "two", cache=tmp_path / "cache")
    result = run.search(data, families=Loudness, trials=1, jointly=True, serial=True, quiet=True)
    best = result.studies[0].best
    assert best is not None
    assert len(run.scores(best, "pump")) == 48
    with pytest.raises(AsdRayError, match="may be any of .* of fan, .* of pump; give the hash and machine=…"):
        run.scores(best)


def test_a_run_that_is_not_there_says_so(run: Run) -> None:
    for ask in (run.trials, run.best, run.records):
        with pytest.raises(AsdRayError, match="no run here"):
            ask()


def test_a_variant_or_a_trial_that_is_not_there_is_named(data: Dataset, run: Run) -> None:
    run.search(data, ["fan"], families=[Loudness], trials=1, serial=True, quiet=True)
    with pytest.raises(AsdRayError, match="fan-loudness-0000 has no variant 'loud'; it has distance, level"):
        run.scores("fan-loudness-0000", variant="loud")
    with pytest.raises(AsdRayError, match=r"no trial 'fan-loudness-0009'; run.trials\(\) lists all"):
        run.scores("fan-loudness-0009")


@pytest.mark.slow
def test_a_class_of_a_script_is_searched_on_ray(folder: Path, tmp_path: Path) -> None:
    """The workers never import the script: the class travels to them."""
    script = LOUDNESS + textwrap.dedent(f"""
        if __name__ == "__main__":
            from asd_ray import Dataset, Run

            run = Run("run")
            result = run.search(Dataset({str(folder)!r}), ["fan"], families=[Loudness], trials=3, dashboard=False)
            print(result.ended, sorted(run.trials()["status"]), run.best("fan").target)
        """)
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.stdout.splitlines()[-1] == "3 ['complete', 'complete', 'complete'] __main__:Loudness", done.stderr


def test_importing_asd_ray_loads_nothing_heavy_and_takes_no_time(python: Callable[..., Any]) -> None:
    code = """
        import sys, time
        began = time.process_time()
        import asd_ray
        print(time.process_time() - began)
        print(*(set("torch ray optuna pandas numpy rich pyarrow".split()) & set(sys.modules)))
    """
    seconds, heavy = python(code).communicate(timeout=60)[0].split("\n")[:2]
    assert float(seconds) < 0.3
    assert heavy == ""


def test_every_exported_name_is_there() -> None:
    assert set(asd_ray.__all__) <= set(dir(asd_ray))
    for name in asd_ray.__all__:
        assert getattr(asd_ray, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Datasets'"):
        _ = asd_ray.Datasets
