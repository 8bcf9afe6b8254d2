"""Searches in which stgram's MobileNetV3 starts from weights that the user brings, from the command line and Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray import Bundle, Dataset, Run
from asd_ray.clips.demo import make_demo
from asd_ray.detectors.parts.weights import read
from asd_ray.families import family
from asd_ray.ledger import Settings, TrialRecord
from asd_ray.reporting.optuna_trials import as_trials
from asd_ray.search import main
from asd_ray.tuning.spec import TrialSpec

from ..published_mobilenet_v3 import timm_state

NET = "mobilenet_v3"
SETTING = {"net": NET, "seconds": 0.25, "batch_size": 16, "backends": "", "inputs": "sgram"}
HOW: dict[str, Any] = {"families": "stgram", "trials": 1, "epochs_cap": 1, "serial": True, "quiet": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `demo`, and two files of weights."""
    folder = tmp_path_factory.mktemp("pretrained")
    make_demo(folder / "demo", size="tiny", machines=["fan"])
    for seed in (0, 1):
        torch.save(timm_state(seed), folder / f"seed{seed}.pt")
    return folder


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Dataset:
    return Dataset(folder / "demo", cache=tmp_path / "cache")


def pretrained(run: Run) -> list[str]:
    return [record.params.get("pretrained", "") for record in sorted(run.records(), key=lambda each: each.number)]


def test_the_weights_are_part_of_a_trial_and_their_place_is_not(
    folder: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [read(NET, str(folder / f"seed{seed}.pt")).name for seed in (0, 1)]
    run = Run(tmp_path / "run")
    own = tmp_path / "weights"
    own.mkdir()
    (own / "any name.pt").write_bytes((folder / "seed0.pt").read_bytes())

    def search(**how: Any) -> None:
        run.search(data, fixed_params=SETTING, **HOW, **how)

    search(weights={NET: own / "any name.pt"})
    assert pretrained(run) == [names[0]]
    run.ensemble("fan", "best_single")
    bundle = run.bundle("fan", tmp_path / "fan.bundle")

    (own / "any name.pt").rename(own / f"{NET}.pt")
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(own))
    search()
    assert pretrained(run) == [names[0]], "the same weights in another place are the same trial"

    search(weights={NET: folder / "seed1.pt"})
    monkeypatch.delenv("ASD_RAY_WEIGHTS")
    search()
    assert pretrained(run) == [names[0], names[1], ""]
    trials = sorted(run.records(), key=lambda each: each.number)
    assert {each.status for each in trials} == {"complete"}
    clip = next((folder / "demo").rglob("test/*.wav"))
    scores = [run.scores(each).set_index(["clip", "variant"])["score"] for each in trials]
    assert not scores[0].equals(scores[1])
    assert not scores[0].equals(scores[2])

    (own / f"{NET}.pt").unlink()
    again = Bundle.load(bundle.folder)
    assert again.score(clip, id="00").score == bundle.score(clip, id="00").score, "a stored state needs no file"


def test_a_search_on_ray_finds_a_file_that_only_its_command_names(folder: Path, tmp_path: Path) -> None:
    words = ["search", "fan", "--data", folder / "demo", "--run", tmp_path / "run", "--families", "stgram"]
    words += ["--trials", 1, "--epochs-cap", 1, "--cpus", 1, "--no-dashboard", "--weights", f"{NET}=seed0.pt"]
    words += [word for name, value in SETTING.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "asd_ray", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    name = read(NET, str(folder / "seed0.pt")).name
    assert f"note: stgram: the net {NET} starts from the pretrained weights {name}" in " ".join(done.stdout.split())
    run = Run(tmp_path / "run")
    assert pretrained(run) == [name]
    assert [record.status for record in run.records()] == ["complete"]


def test_trials_without_weights_keep_their_hashes() -> None:
    """The hashes are those of the version before weights could be brought."""
    stgram = family("stgram")
    paper = stgram.search_space().paper

    def hash_of(params: dict[str, Any]) -> str:
        return TrialSpec(("fan",), "stgram", stgram.target, 0, params, 0, Settings("f"), "1", "h").hash

    assert hash_of(paper) == "t04230df568e6"
    assert hash_of({**paper, "net": NET}) == "tf153c45696ba"
    assert hash_of({**paper, "net": NET, "pretrained": f"{NET}:0123456789ab"}) not in ("t04230df568e6", "tf153c45696ba")


def test_optuna_s_table_has_the_drawn_parameters_of_trials_with_weights() -> None:
    params = {**family("stgram").search_space().paper, "net": NET, "pretrained": f"{NET}:0123456789ab"}
    record = TrialRecord(
        trial="t0", name="fan-stgram-0000", machine="fan", family="stgram", params=params, objective=0.5
    )
    [trial] = as_trials([record])
    assert trial.params["net"] == NET
    assert trial.user_attrs["fixed"]["pretrained"] == params["pretrained"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weights", f"{NET}=none.pt"), "none.pt: no such file, but --weights names it for mobilenet_v3"),
        (("--weights", f"{NET}=torn.pt"), "torn.pt: it cannot be read as tensors alone"),
        (("--weights", f"{NET}=other.pt"), "other.pt: these are not weights of mobilenet_v3: it has neither"),
        (("--weights", "seed0.pt"), "give NET=FILE, such as mobilenet_v3="),
        (
            ("--weights", "resnet=seed0.pt"),
            "stgram cannot start from weights of it; they can be given for mobilenet_v3",
        ),
        (
            ("--families", "idnn", "--weights", f"{NET}=seed0.pt"),
            "idnn cannot start from weights of it; leave the option",
        ),
        (
            ("--address", "ray://nowhere:1", "--run", "/r", "--weights", f"{NET}=seed0.pt"),
            "as its nodes see it, an absolute path that every node has",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_starts(
    words: tuple[str, ...],
    message: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    (folder / "torn.pt").write_bytes((folder / "seed0.pt").read_bytes()[:1000])
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "other.pt")
    named = ["--run", str(tmp_path / "run")] if "--run" not in words else []
    data = str(folder / "demo")
    assert main(["fan", "--data", data, "--families", "stgram", *named, *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_wrong_folder_of_the_variable_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path / "none"))
    run = tmp_path / "run"
    words = ["fan", "--data", str(folder / "demo"), "--run", str(run), "--families", "stgram"]
    assert main(words) == 2
    assert "none: no such folder, but $ASD_RAY_WEIGHTS names it" in " ".join(capsys.readouterr().err.split())
    assert not run.exists()
