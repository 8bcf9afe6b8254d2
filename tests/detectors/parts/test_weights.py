from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from asd_ray.detectors.parts.weights import is_pretrained_name, load_weights, pretrained_name, read
from asd_ray.errors import AsdRayError
from asd_ray.tuning.faults import is_node_fault

from ...published_mobilenet_v3 import timm_state, torchvision_state

NET = "mobilenet_v3"
SHIPPED = "asd_ray.detectors.families.stgram:StgramMfn"


@pytest.fixture(scope="module")
def timm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v3.pt"
    torch.save(timm_state(), path)
    return path


def test_weights_are_named_by_their_content(timm: Path, tmp_path: Path) -> None:
    state = timm_state()
    name = read(NET, str(timm)).name
    assert is_pretrained_name(name, NET)
    assert not is_pretrained_name(name, "mobilenet")
    save_file(state, tmp_path / "same.safetensors")
    del state["classifier.weight"], state["bn1.num_batches_tracked"]
    torch.save(state, tmp_path / "same.pth")
    assert {read(NET, str(tmp_path / f"same{suffix}")).name for suffix in (".safetensors", ".pth")} == {name}
    state["conv_stem.weight"][0, 0, 0, 0] += 1
    torch.save(state, tmp_path / "other.pt")
    torch.save(torchvision_state(), tmp_path / "torchvision.pt")
    others = {read(NET, str(tmp_path / f"{other}.pt")).name for other in ("other", "torchvision")}
    assert len(others | {name}) == 3


def test_a_file_that_changes_is_named_anew(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save(timm_state(), path)
    first = pretrained_name(NET, str(path))
    torch.save(timm_state(seed=1), path)
    os.utime(path, ns=(1, 1))
    assert pretrained_name(NET, str(path)) != first


class Runs:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    torch.save({"conv_stem.weight": Runs(tmp_path / "ran")}, tmp_path / "file.pt")
    with pytest.raises(AsdRayError, match="cannot be read as tensors alone .* code in such a file is never run; save"):
        read(NET, str(tmp_path / "file.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"conv_stem.weight": torch.zeros(1)}}, "holds a dict that is no state dict"),
        ({}, "holds a dict that is no state dict"),
        (torch.zeros(3), "holds a Tensor that is no state dict"),
        ({"conv1.weight": torch.zeros(3)}, "not weights of mobilenet_v3: it has neither .*; give the state dict of"),
        ({"conv_stem.weight": torch.zeros(3)}, r"it lacks bn1\.weight, .* it has the shapes conv_stem\.weight \[3\]"),
    ],
)
def test_what_is_no_state_dict_of_the_net_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(AsdRayError, match=rf"file\.pt: .*{message}"):
        read(NET, str(tmp_path / "file.pt"))


def test_a_small_file_cannot_fill_the_memory(timm: Path, tmp_path: Path) -> None:
    torch.save({"conv_stem.weight": torch.zeros(1).expand(10**9)}, tmp_path / "expanded.pt")
    with zipfile.ZipFile(timm) as old, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    for name, message in (
        ("expanded", "conv_stem.weight is no dense tensor"),
        ("packed", "it is a compressed archive"),
    ):
        with pytest.raises(AsdRayError, match=message):
            read(NET, str(tmp_path / f"{name}.pt"))


def test_the_node_may_have_the_weights_elsewhere(timm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, other = read(NET, str(timm)).name, tmp_path / "other.pt"
    torch.save(timm_state(seed=1), other)
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(timm.parent))
    for path in (other, tmp_path / "none.pt"):
        assert load_weights(name, {NET: str(path)})


def test_a_broken_or_missing_file_is_named(timm: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(timm.read_bytes()[:100_000])
    (tmp_path / "text.safetensors").write_text("no tensors")
    (tmp_path / "empty.pth").touch()
    for name in ("cut.pt", "text.safetensors", "empty.pth"):
        with pytest.raises(AsdRayError, match=f"{name}: it cannot be read as tensors alone"):
            read(NET, str(tmp_path / name))
    for place in (tmp_path, tmp_path / "none.pt", tmp_path / "none.safetensors"):
        with pytest.raises(AsdRayError, match=f"{place}: the pretrained weights cannot be read .* every node needs"):
            read(NET, str(place))
    with pytest.raises(AsdRayError, match="cannot be read"):
        pretrained_name(NET, str(tmp_path / "none.pt"))
    with pytest.raises(AsdRayError, match="unknown net with weights of the user 'resnet'"):
        read("resnet", str(timm))


def test_a_trial_gets_the_weights_that_it_names_or_fails_on_this_node_alone(
    timm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = read(NET, str(timm)).name
    weights = read(NET, str(timm)).weights
    for files, folder in (({NET: str(timm)}, ""), ({}, str(timm.parent))):
        monkeypatch.setenv("ASD_RAY_WEIGHTS", folder)
        loaded = load_weights(name, files)
        assert all(torch.equal(loaded[key], value) for key, value in weights.items())
    monkeypatch.delenv("ASD_RAY_WEIGHTS")
    torch.save(timm_state(seed=1), tmp_path / "other.pt")
    for files, message in (
        ({}, f"no file of the weights {name} is named"),
        ({NET: str(tmp_path / "none.pt")}, "cannot be read"),
        ({NET: str(tmp_path / "other.pt")}, f"but {name} is needed; put the file .* on every node"),
    ):
        with pytest.raises(AsdRayError, match=message) as caught:
            load_weights(name, files)
        assert is_node_fault(caught.value, SHIPPED)
