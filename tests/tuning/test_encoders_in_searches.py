"""Searches of `pretrained`: what is drawn, what is refused, and what a bundle says without the user's file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray import AsdRayError, Bundle, Dataset, Run
from asd_ray.clips.demo import make_demo
from asd_ray.detectors.encoders.loading import encoder_name
from asd_ray.detectors.state_file import from_bytes
from asd_ray.families import FAMILIES, family
from asd_ray.families.drawing import first_draw
from asd_ray.search import main
from asd_ray.tuning.family_choice import choose_families, spaces_by_family
from tests.tiny_encoders import save_tiny

HOW: dict[str, Any] = {"serial": True, "quiet": True}


def test_only_brought_encoders_are_drawn_and_named_by_content(encoder_weights: Path, tmp_path: Path) -> None:
    ast, other = str(encoder_weights / "ast"), str(tmp_path / "hubert")
    save_tiny("hubert", Path(other))
    names = {"ast": encoder_name("ast", ast), "hubert": encoder_name("hubert", other)}
    space = spaces_by_family((), [family("pretrained")], {}, {"ast": ast, "hubert": other})["pretrained"]
    first = first_draw(space)
    assert first.params == {**space.paper, "encoder": "ast", "pretrained": names["ast"]}
    assert first.distributions["encoder"].choices == ("ast", "hubert")  # type: ignore[attr-defined]
    none = spaces_by_family((), [family("pretrained")], {}, {})["pretrained"]
    assert first_draw(none).params == none.paper
    assert len(first_draw(none).distributions["encoder"].choices) == 11  # type: ignore[attr-defined]


def test_a_search_runs_and_its_bundle_needs_the_file(
    encoder_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASD_RAY_CACHE", str(tmp_path / "other"))
    make_demo(tmp_path / "demo", size="tiny", machines=["fan"])
    data, run = Dataset(tmp_path / "demo", cache=tmp_path / "cache"), Run(tmp_path / "run")
    own = tmp_path / "weights"
    shutil.copytree(encoder_weights, own)
    name = encoder_name("ast", str(own / "ast"))
    run.search(data, "fan", families="pretrained", trials=3, weights={"ast": own / "ast"}, **HOW)
    records = run.records()
    assert [record.status for record in records] == ["complete"] * 3
    assert {record.params["pretrained"] for record in records} == {name}
    assert {record.params["encoder"] for record in records} == {"ast"}
    assert noted(tmp_path / "cache") == [name]
    assert noted(tmp_path / "other") == [], "the check before the search notes the encoder where the search looks"
    run.ensemble("fan", "best_single")
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(own))
    bundle = run.bundle("fan", tmp_path / "fan.bundle")
    clip = next((tmp_path / "demo").rglob("test/*.wav"))
    score = bundle.score(clip, id="00").score
    [state] = (tmp_path / "fan.bundle").rglob("*.safetensors")
    stored = from_bytes(state.read_bytes(), "the state")[0]
    assert set(stored) == {"backends", "encoder"}, "no weights of the encoder"
    assert stored["encoder"] == name
    assert Bundle.load(bundle.folder).score(clip, id="00").score == score
    shutil.rmtree(own / "ast")
    with pytest.raises(AsdRayError, match=f"no file of the encoder {name} is named; bring the folder of a model"):
        Bundle.load(bundle.folder)


def noted(cache: Path) -> list[str]:
    """The encoders that a cache has a note of."""
    return [file.stem.replace("-", ":") for file in (cache / "encoders").glob("*.json")]


def test_the_check_of_an_encoder_notes_it_in_the_cache_that_the_command_names(
    encoder_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASD_RAY_CACHE", str(tmp_path / "other"))
    make_demo(tmp_path / "demo", size="tiny", machines=["fan"])
    weights = f"ast={encoder_weights / 'ast'}"
    words = ["unknown", "--data", str(tmp_path / "demo"), "--families", "pretrained", "--weights", weights, "--serial"]
    assert main([*words, "--cache", str(tmp_path / "named"), "--run", str(tmp_path / "run")]) == 2
    assert noted(tmp_path / "named") == [encoder_name("ast", str(encoder_weights / "ast"))]
    assert noted(tmp_path / "other") == []


def test_without_weights_nothing_is_left_to_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_demo(tmp_path / "demo", size="tiny", machines=["fan"])
    words = ["fan", "--data", str(tmp_path / "demo"), "--run", str(tmp_path / "run"), "--families", "pretrained"]
    assert main([*words, "--serial"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "nothing is left to search" in error
    assert "pretrained of fan: it needs pretrained weights, and none of an encoder are brought" in error
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "BEATs_iter3.pt").touch()
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path / "weights"))
    assert main([*words, "--serial"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "that folder has BEATs_iter3.pt, but a file or folder there must be named after its net" in error


@pytest.mark.parametrize("name", ["pretrained", "finetuned"])
@pytest.mark.parametrize(
    ("net", "content", "words"),
    [
        ("beats", Path, 'code in such a file is never run; give a published checkpoint of BEATs or OpenBEATs, {"cfg"'),
        ("beats", torch.zeros(2), "it holds a Tensor; give a published checkpoint of BEATs"),
        ("dasheng", {"model": {}}, "it has no tensors; give a published checkpoint of Dasheng"),
    ],
)
def test_an_encoder_that_cannot_be_loaded_is_refused_before_anything_starts(
    name: str, net: str, content: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_demo(tmp_path / "demo", size="tiny", machines=["fan"])
    torch.save(content, tmp_path / "net.pt")
    where = ["--data", str(tmp_path / "demo"), "--run", str(tmp_path / "run")]
    assert main(["fan", *where, "--families", name, "--weights", f"{net}={tmp_path / 'net.pt'}", "--serial"]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("has_gpu", "names"), [(False, {"pretrained"}), (True, {"pretrained", "finetuned"})])
def test_a_search_of_no_family_in_particular_has_encoders_only_if_they_are_brought(
    has_gpu: bool, names: set[str], encoder_weights: Path
) -> None:
    every = [family(name) for name in FAMILIES]
    brought = spaces_by_family((), every, {}, {"ast": str(encoder_weights / "ast")})
    none = spaces_by_family((), every, {}, {})
    with_weights, _ = choose_families([], has_gpu, brought)
    without, left_out = choose_families([], has_gpu, none)
    assert {each.name for each in with_weights} - {each.name for each in without} == names
    assert not {"pretrained", "finetuned"} & {*left_out}
    assert {each.name for each in choose_families(["all"], has_gpu, none)[0]} == {*FAMILIES}
