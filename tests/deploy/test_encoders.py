"""A bundle whose detectors use an encoder of the user: it says so, and the verbs take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_ray import Bundle, Dataset, Run
from asd_ray.clips.demo import make_demo
from asd_ray.deploy import bundle_file
from asd_ray.deploy.writing import NEEDS
from asd_ray.detectors.encoders.loading import encoder_name
from tests.deploy.conftest import SmallRun
from tests.hostile import Verbs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, encoder_weights: Path) -> Run:
    folder = tmp_path_factory.mktemp("encoders")
    make_demo(folder / "demo", size="tiny", machines=["fan"])
    run, data = Run(folder / "run"), Dataset(folder / "demo", cache=folder / "cache")
    weights = {"ast": encoder_weights / "ast"}
    run.search(data, "fan", families="pretrained", trials=1, weights=weights, serial=True, quiet=True)
    return run


def test_every_verb_says_which_encoder_it_needs_and_takes_it(
    run: Run, encoder_weights: Path, verbs: Verbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out, path = run.layout.root, tmp_path / "fan.bundle", encoder_weights / "ast"
    name, brought = encoder_name("ast", str(path)), ["--weights", f"ast={path}"]
    choose = ["ensemble", "fan", "--run", root, "--recipe", "best_single"]
    assert f"its cost was not measured: the state of fan-pretrained-0000: no file of the encoder {name}" in " ".join(
        verbs(*choose).out.split()
    )
    assert run.ensembles("fan")["fan"]["final"].cost is None
    assert "not measured" not in verbs(*choose, *brought).out
    assert run.ensembles("fan")["fan"]["final"].cost is not None

    answer = verbs("bundle", "fan", "--run", root, "--out", out)
    assert answer.out.splitlines()[-1] == f"next: asd-ray score {out} new.wav --weights ast=FILE"
    lines = (out / bundle_file.NEEDS).read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [*NEEDS, "transformers>=5.0"]
    card = (out / bundle_file.CARD).read_text()
    assert "asd-ray score THIS_FOLDER new.wav --weights ast=FILE\n" in card
    assert f"It needs the files of these encoders, named by a hash of their content: {name}; bring" in card

    assert "no file of the encoder" in verbs("onnx", out, "--out", tmp_path / "onnx").err
    assert "left out: fan-pretrained-0000" in verbs("onnx", out, "--out", tmp_path / "onnx", *brought).err
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(encoder_weights))
    Bundle.load(out).with_threshold(1.0).save(tmp_path / "changed.bundle")
    assert (tmp_path / "changed.bundle" / bundle_file.NEEDS).read_text().splitlines() == lines


def test_a_bundle_without_an_encoder_does_not_speak_of_one(small: SmallRun) -> None:
    assert "--weights" not in (small.folder / bundle_file.CARD).read_text()
    assert (small.folder / bundle_file.NEEDS).read_text().splitlines()[-1] == NEEDS[-1]
