"""Searches by normal sound alone, and searches that set test clips aside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from asd_ray import Context, Dataset, Progress, Resources, Run
from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError
from asd_ray.features import Raw
from asd_ray.metrics.injected import fault_values

from .searches import loud_set

BAND = [0.0, 0.25, 0.5, 0.75, 1.0]


class Peak:
    """The level of a clip, mixed with how far its peak stands out. It learns the mean of both."""

    VERSION = 1
    RESOURCES: ClassVar[Resources] = Resources(cpu=1)

    def __init__(self, context: Context, *, share: float = 0.5, epochs: int = 3, batch_size: int = 8) -> None:
        self.share, self.epochs = share, epochs
        self.front_end = Raw(rate=context.rate)
        self.centre = np.zeros(2)

    @staticmethod
    def space(trial: Any) -> dict[str, Any]:
        return {"share": trial.suggest_categorical("share", BAND)}

    def _numbers(self, clips: ClipSet) -> np.ndarray:
        waves = [clips.samples(i).astype(float) for i in range(len(clips))]
        return np.array([[np.log(wave.std() + 1), np.log(np.abs(wave).max() / (wave.std() + 1) + 1)] for wave in waves])

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        self.centre = self._numbers(train).mean(axis=0)
        for epoch in range(1, self.epochs + 1):
            yield Progress(epoch, {})

    def score(self, clips: ClipSet) -> dict[str, np.ndarray]:
        far = np.abs(self._numbers(clips) - self.centre)
        return {"far": far @ [1 - self.share, self.share], "level": far[:, 0]}

    def state(self) -> dict[str, Any]:
        return {"centre": self.centre.tolist()}

    def load(self, state: dict[str, Any]) -> None:
        self.centre = np.array(state["centre"])


def search(root: Path, run: Path, **options: Any) -> Run:
    opened = Run(run)
    asked = {"families": [Peak], "trials": 4, "serial": True, "quiet": True, "held_out": 0.4} | options
    opened.search(Dataset(root, cache=run.parent / "cache"), **asked)
    return opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return loud_set(tmp_path / "data", gain=1.5)


def swap_labels(root: Path) -> None:
    """Rename the test clips so that normal ones are called anomalies, and the other way round."""
    files = sorted((root / "fan/test").iterdir())
    for file in files:
        file.rename(file.with_suffix(".moved"))
    for file in files:
        new, old = ("anomaly", "normal") if "_normal_" in file.name else ("normal", "anomaly")
        name = file.name.replace(f"_{old}_", f"_{new}_")
        file.with_suffix(".moved").rename(root / "fan/test" / name)


def test_labels_of_test_clips_change_nothing_of_a_normal_only_search(root: Path, tmp_path: Path) -> None:
    """The proof that none is read: with all labels swapped, the same trials run and have the same values."""
    before = search(root, tmp_path / "a", objective="normal-only")
    swap_labels(root)
    after = search(root, tmp_path / "b", objective="normal-only")
    columns = ["number", "objective", "variant", "params_share", "epochs"]
    assert before.trials()[columns].equals(after.trials()[columns])
    by_labels = search(root, tmp_path / "c")
    assert not by_labels.trials()["objective"].equals(after.trials()["objective"])


def test_the_objective_is_the_value_on_injected_faults(root: Path, tmp_path: Path) -> None:
    run = search(root, tmp_path / "run", objective="normal-only")
    complete = [record for record in run.records() if record.status == "complete"]
    assert complete
    for record in complete:
        assert (record.settings.objective, record.protocol, record.objective_parts) == ("normal-only", "label_free", {})
        scores = run.scores(record)
        parts = {split: scores[scores["split"] == split].reset_index(drop=True) for split in ("held_out", "fault")}
        normal, faults = parts["held_out"], parts["fault"]
        value = fault_values(
            normal["score"].to_numpy(float)[None],
            normal[["clip", "id"]].astype(str),
            faults["score"].to_numpy(float)[None],
            faults[["clip", "id"]].astype(str),
        )
        assert record.objective == pytest.approx(value[0], abs=1e-6)
        assert sorted(record.intermediate) == [1]


def test_a_folder_with_only_normal_sound_is_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = loud_set(tmp_path / "all") / "fan/train"
    normal = tmp_path / "press/normal"
    shutil.copytree(root, normal)
    run = search(tmp_path / "press", tmp_path / "run", quiet=False)
    out = capsys.readouterr().out
    assert (
        "objective: median over kinds of injected faults of the harmonic mean of AUC and pAUC, between held-out normal "
        "clips and such clips with a fault. No label is read; how well real anomalies are found is not measured"
    ) in " ".join(out.split())
    assert "No label is read" in out
    assert "not measured" in out
    assert len(run.records("press")) == 4
    assert set(run.scores(run.best("press"))["split"]) == {"train", "held_out", "fault", "crop"}


def test_machines_with_and_without_labels_are_compared_each_in_its_own_way(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "fan/train", root / "pump/train")
    run = search(root, tmp_path / "run", quiet=False)
    objectives = {record.machine: record.settings.objective for record in run.records() if record.settings}
    assert objectives == {"fan": "labels", "pump": "normal-only"}
    out = capsys.readouterr().out
    assert "objective of fan: " in out
    assert "objective of pump: " in out


def test_the_same_search_again_runs_nothing(root: Path, tmp_path: Path) -> None:
    run = search(root, tmp_path / "run", objective="normal-only")
    before = run.records()
    search(root, tmp_path / "run", objective="normal-only")
    assert run.records() == before


def test_other_objectives_are_other_trials(root: Path, tmp_path: Path) -> None:
    run = search(root, tmp_path / "run", trials=1)
    search(root, tmp_path / "run", trials=1, objective="normal-only")
    assert len({record.trial for record in run.records()}) == 2


def test_unseen_clips_are_scored_and_no_choice_sees_them(root: Path, tmp_path: Path) -> None:
    run = search(root, tmp_path / "run", keep_unseen=0.5)
    scores = run.scores(run.best("fan"), variant="level")
    assert scores["split"].value_counts()[["test", "unseen"]].tolist() == [12, 12]
    whole = search(root, tmp_path / "whole")
    unseen = set(scores.loc[scores["split"] == "unseen", "clip"])
    assert unseen < set(whole.scores(whole.best("fan"), variant="level", splits="test")["clip"])
    for file in (root / "fan/test").iterdir():
        if file.name in unseen:  # another sound in an unseen clip changes no objective
            shutil.copy(root / "fan/train/section_00_source_train_normal_0000_vel_0.wav", file)
    other = search(root, tmp_path / "other", keep_unseen=0.5)
    assert other.trials()["objective"].tolist() == run.trials()["objective"].tolist()


def test_a_run_keeps_one_share_of_unseen_clips(root: Path, tmp_path: Path) -> None:
    search(root, tmp_path / "run", keep_unseen=0.5, trials=1)
    with pytest.raises(AsdRayError, match=r"keep_unseen 0\.5, and this command says 0.*choose another Run"):
        search(root, tmp_path / "run", trials=1)


def test_faults_are_scored_by_a_search_with_labels_that_asks_for_them(root: Path, tmp_path: Path) -> None:
    plain, faults = search(root, tmp_path / "a", trials=2), search(root, tmp_path / "b", trials=2, faults=True)
    assert "fault" in set(faults.scores(faults.best("fan"))["split"])
    assert [r.trial for r in plain.records()] == [r.trial for r in faults.records()], "a trial is the same with them"
    assert plain.trials()["objective"].tolist() == faults.trials()["objective"].tolist()


BAD = [
    ({"objective": "best"}, "labels or normal-only"),
    ({"objective": "normal-only", "held_out": 0.0}, "held_out above 0"),
    ({"faults": True, "held_out": 0.0}, "faults injects faults into held-out clips"),
    ({"objective": "normal-only", "checkpoint": "oracle"}, "chooses the epoch by labels"),
    ({"objective": "normal-only", "held_out": 0.05}, "normal clips of fan are held out"),
    ({"keep_unseen": 1.0}, "from 0 to 0.9"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_wrong_options_are_refused_before_a_trial(root: Path, tmp_path: Path, options: Any, words: str) -> None:
    with pytest.raises(AsdRayError, match=words):
        search(root, tmp_path / "run", **options)
    assert not list((tmp_path / "run").glob("ledger/**/*.parquet"))


def test_broken_clips_are_left_out_by_name(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = root / "fan/train/section_00_source_train_normal_0003_vel_3.wav"
    broken.write_bytes(b"no sound")
    with pytest.raises(AsdRayError, match=f"{broken.name}.*\n?.*skip_broken"):
        search(root, tmp_path / "run", trials=1)
    data = Dataset(root, cache=tmp_path / "cache", skip_broken=True)
    run = Run(tmp_path / "run")
    run.search(data, families=[Peak], trials=1, serial=True)
    printed = capsys.readouterr()
    assert f"{broken.name}: left out: " in (printed.out + printed.err).replace("\n", "")
    assert broken.name not in set(run.scores(run.best("fan"))["clip"])
    assert len(data.bank()) == 39


def test_clips_are_held_out_of_those_that_can_be_read(root: Path, tmp_path: Path) -> None:
    for i in range(3):
        (root / f"fan/train/section_00_source_train_normal_{i:04d}_vel_{i}.wav").write_bytes(b"no sound")
    data = Dataset(root, cache=tmp_path / "cache", skip_broken=True)
    options: Any = {"families": [Peak], "trials": 1, "objective": "normal-only", "serial": True, "quiet": True}
    with pytest.raises(
        AsdRayError, match="3 of 13 normal clips of fan are held out, .*; give held_out 0.3, or more clips"
    ):
        Run(tmp_path / "run").search(data, held_out=0.25, **options)


def test_only_broken_clips_of_a_machine_are_an_error(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "fan", root / "pump")
    for file in root.glob("pump/*/*.wav"):
        file.write_bytes(b"")
    with pytest.raises(AsdRayError, match="cannot be used"):
        Dataset(root, cache=tmp_path / "cache", skip_broken=True).bank()


@pytest.mark.timeout(300)
def test_a_normal_only_search_runs_on_ray(root: Path, tmp_path: Path) -> None:
    """The faults that the driver planned reach the workers. Ray is started once per process, so it has its own."""
    words = ["search", "fan", "--data", root, "--run", tmp_path / "run", "--families", "twfr_gmm", "--trials", "2"]
    words += ["--objective", "normal-only", "--held-out", "0.4", "--cpus", "2", "--no-dashboard"]
    command = [sys.executable, "-m", "asd_ray", *map(str, words), "--cache", str(tmp_path / "cache")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    serial = search(root, tmp_path / "serial", families=["twfr_gmm"], trials=2, objective="normal-only")
    on_ray = Run(tmp_path / "run").trials()["objective"].tolist()
    assert on_ray == pytest.approx(serial.trials()["objective"].tolist(), abs=1e-6)
