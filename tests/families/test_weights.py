from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution

from asd_ray.detectors.encoders.loading import NETS
from asd_ray.errors import AsdRayError
from asd_ray.families import Space
from asd_ray.families.drawing import first_draw, redraw
from asd_ray.families.weights import (
    BROUGHT_VARIABLE,
    ENCODERS,
    brought,
    needed_encoders,
    read_weights,
    weights_files,
    weights_options,
)


def test_files_are_named_after_their_net_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_files() == {}
    for name in ("a.pt", "a.safetensors", "b.pth", "b.pt", "c.txt", "d.pt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path))
    assert weights_files({"d": tmp_path / "c.txt"}) == {
        net: str(tmp_path / name) for net, name in (("a", "a.safetensors"), ("b", "b.pt"), ("d", "c.txt"))
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASD_RAY_WEIGHTS", "")
    assert weights_files({"d": "d.pt"}) == {"d": str(tmp_path / "d.pt")}


def test_what_does_not_exist_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AsdRayError, match="x.pt: no such file, but --weights names it for net; name a file"):
        weights_files({"net": tmp_path / "x.pt"})
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(AsdRayError, match=r"none: no such folder, but \$ASD_RAY_WEIGHTS names it .* unset"):
        weights_files()


def test_brought_files_are_found_by_this_process_and_by_those_that_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.pt", "b.pt", "other.pt", "more.pt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path))
    folder = weights_files()
    program = "from asd_ray.families.weights import weights_files; print(weights_files()['a'])"
    with brought({"a": tmp_path / "other.pt"}):
        assert weights_files() == folder | {"a": str(tmp_path / "other.pt")}
        assert weights_files({"a": tmp_path / "more.pt"})["a"] == str(tmp_path / "more.pt")  # a search's own
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == str(tmp_path / "other.pt")
        with brought({}):
            assert weights_files()["a"] == str(tmp_path / "other.pt")
    assert weights_files() == folder
    with pytest.raises(AsdRayError, match="none.pt: no such file, but --weights names it for a"):
        brought({"a": tmp_path / "none.pt"}).__enter__()
    assert weights_files() == folder
    monkeypatch.setenv(BROUGHT_VARIABLE, "[1]")
    with pytest.raises(AsdRayError, match="ASD_RAY_BROUGHT_WEIGHTS is no JSON of nets and files .*; unset it"):
        weights_files()


def test_texts_of_the_command_line() -> None:
    assert read_weights(["a=/x/y=z.pt", "b=w"]) == {"a": "/x/y=z.pt", "b": "w"}
    for texts, message in (
        (["a"], "give NET=FILE"),
        (["=x"], "give NET=FILE"),
        (["a=1", "a=2"], "a has a file already, 1"),
    ):
        with pytest.raises(AsdRayError, match=message):
            read_weights(texts)


def test_only_draws_of_the_net_with_weights_have_the_parameter() -> None:
    """All others keep the parameters, and so the hashes, that they have without weights."""
    paper = {"net": "small", "lr": 0.1}
    space = Space(
        "mine.py",
        paper,
        lambda trial: {"net": trial.suggest_categorical("net", ["small", "large"])},
        weights={"net": {"large": "large:123"}},
    )
    assert first_draw(space).params == paper
    started = {"net": "large", "lr": 0.1, "pretrained": "large:123"}
    found = redraw(space, started)
    assert found is not None
    assert (found.params, found.suggested) == (started, {"net": "large"})
    for other in ({**started, "pretrained": "large:456"}, {"net": "large", "lr": 0.1}):
        assert redraw(space, other) is None, "it started from other weights, or at random"


def test_a_folder_or_a_graph_counts_only_for_the_nets_that_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("beats", "ast", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    for name in ("beats.safetensors", "ast.pt", "beats.onnx", "onnx.onnx", "onnx.pt", "own.pt2", "exported.pt2"):
        (tmp_path / name).touch()
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path))
    files = {"beats": "beats.safetensors", "ast": "ast", "onnx": "onnx.onnx", "exported": "exported.pt2"}
    assert weights_files() == {net: str(tmp_path / name) for net, name in files.items()}


def test_a_folder_with_a_config_is_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ast", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "ast" / "config.json").touch()
    (tmp_path / "ast.pt").touch()
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path))
    assert weights_files() == {"ast": str(tmp_path / "ast")}
    assert weights_files({"clap": tmp_path / "ast"})["clap"] == str(tmp_path / "ast")
    with pytest.raises(AsdRayError, match=r"empty: a folder without config.json, but --weights names it for clap"):
        weights_files({"clap": tmp_path / "empty"})


def test_of_a_family_that_needs_weights_only_what_is_brought_is_drawn() -> None:
    def drawn(trial: Any) -> dict[str, Any]:
        return {"net": trial.suggest_categorical("net", ["a", "b", "c"])}

    space = Space("mine.py", {"net": "a", "lr": 0.1}, drawn, weights={"net": {"b": "b:1", "c": "c:2"}})
    needing = replace(space, needs_weights=True)
    assert first_draw(needing).params == {"net": "b", "lr": 0.1, "pretrained": "b:1"}
    assert redraw(needing, {"net": "a", "lr": 0.1}) is None
    found = redraw(needing, {"net": "c", "lr": 0.1, "pretrained": "c:2"})
    assert found is not None
    assert found.distributions["net"] == CategoricalDistribution(("b", "c"))
    assert first_draw(space).params == {"net": "a", "lr": 0.1}
    assert first_draw(replace(needing, weights={"net": {"a": "a:3", "c": "c:2"}})).params["pretrained"] == "a:3"
    assert first_draw(replace(needing, weights={"net": {}})).params == {"net": "a", "lr": 0.1}
    with pytest.raises(AsdRayError, match="the values that can be tried are .d.; bring weights of the former"):
        first_draw(replace(needing, fixed={}, paper={"net": "a", "lr": 0.1}, weights={"net": {"d": "d:4"}}))


def test_trained_detectors_need_their_encoders_and_no_other_net() -> None:
    names = ["onnx:2", "ast:1", "ast:0", "ast:1", "mobilenet_v3:1", ""]
    needed = needed_encoders([*({"pretrained": name} for name in names), {}, {"pretrained": 5}])
    assert needed == ["ast:0", "ast:1", "onnx:2"]
    assert weights_options(needed) == ["--weights", "ast=FILE", "--weights", "onnx=FILE"]


def test_the_package_of_an_encoder_is_that_of_its_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    expected = {net: "".join(extras[adapter.extra]) if adapter.extra else "" for net, adapter in NETS.items()}
    assert dict(ENCODERS) == expected
