from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asd_ray.detectors import Context
from asd_ray.detectors.encoders import embedded
from asd_ray.detectors.encoders.checkpoint import explained
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.loading import HERE, NETS, encoder_name, load_encoder, path_of
from asd_ray.detectors.families.pretrained import Pretrained
from asd_ray.errors import AsdRayError
from asd_ray.families.weights import FOLDERS
from asd_ray.features import FeatureCache
from asd_ray.tuning.faults import is_node_fault

from . import test_beats, test_dasheng, test_exported

SHIPPED = "asd_ray.detectors.families.pretrained:Pretrained"
NEEDED = {
    "beats": "openbeats.beats_encoder",
    "dasheng": "dasheng.pretrained.pretrained",
    "passt": "hear21passt.models",
    "onnx": "onnxruntime",
}


@pytest.mark.parametrize("net", NEEDED)
def test_a_missing_package_is_one_sentence(net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"{HERE}.{NETS[net].module}", raising=False)
    monkeypatch.setitem(sys.modules, NEEDED[net], None)
    path = tmp_path / "encoder"
    path.write_text("never read")
    with pytest.raises(AsdRayError, match=r"cannot be imported") as found:
        load_encoder(encoder_name(net, str(path)), {net: str(path)})
    assert str(found.value).endswith(f"pip install 'asd_ray[{NETS[net].extra}]'")


def test_a_file_in_place_of_a_folder_is_no_fault_of_a_node(tmp_path: Path) -> None:
    """At another node it would be the same, so that the trial would never end."""
    folder, file, empty = tmp_path / "folder", tmp_path / "file", tmp_path / "empty"
    folder.mkdir()
    empty.mkdir()
    for path in (folder / "config.json", file):
        path.write_text("{}")
    for net, path, message in (
        ("beats", folder, "beats needs a file, not a folder; give a checkpoint of BEATs"),
        ("ast", file, "ast needs a folder, not a file; give the folder of a model of transformers"),
    ):
        with pytest.raises(AsdRayError, match=f"{path}: {message}") as found:
            encoder_name(net, str(path))
        assert not is_node_fault(found.value, SHIPPED)
    for net in ("beats", "ast"):  # a mount point where nothing is mounted
        with pytest.raises(AsdRayError, match="the folder is empty; mount it") as found:
            encoder_name(net, str(empty))
        assert is_node_fault(found.value, SHIPPED)


def test_the_node_may_have_the_encoder_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("here.onnx", "another"), ("onnx.onnx", "the one")):
        (tmp_path / name).write_text(text)
    own, other = str(tmp_path / "onnx.onnx"), str(tmp_path / "here.onnx")
    name = encoder_name("onnx", own)
    monkeypatch.setenv("ASD_RAY_WEIGHTS", str(tmp_path))
    for path in (other, str(tmp_path / "none"), own):
        assert path_of(name, {"onnx": path}) == own


def test_a_file_with_the_times_of_another_is_read_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    first = encoder_name("beats", str(tmp_path / "a"))
    os.replace(tmp_path / "b", tmp_path / "a")
    assert encoder_name("beats", str(tmp_path / "a")) != first


def test_folders_are_those_of_transformers() -> None:
    assert {net for net, adapter in NETS.items() if adapter.module == "transformers_nets"} == set(FOLDERS)


def test_extras_and_adapters_exist() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    for net, adapter in NETS.items():
        assert importlib.util.find_spec(f"{HERE}.{adapter.module}"), net
        assert not adapter.extra or f"\n{adapter.extra} = [\n" in project, net


@pytest.mark.parametrize(
    ("net", "make", "shape"),
    [
        ("beats", test_beats.checkpoint, (3, 4, 24)),
        ("dasheng", test_dasheng.checkpoint, (3, 1, 24)),
        ("onnx", test_exported.graph, (1, 1, 8)),
    ],
)
def test_an_encoder_is_a_front_end_at_any_rate(
    net: str, make: Callable[[Path], Path], shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = make(tmp_path / "encoder")
    name = encoder_name(net, str(path))
    sound = torch.rand(2, 32_000, generator=torch.Generator().manual_seed(0)) - 0.5
    for rate, segments in ((16_000, 2), (32_000, 1)):
        front_end = Embedded(rate=rate, pretrained=name, path=str(path))
        found = front_end(sound)
        assert found.shape == (2, segments, *shape)
        assert found.isfinite().all()
        assert found.std() > 0


def test_clips_without_a_frame_are_one_message(tmp_path: Path) -> None:
    """Their mean would be no number."""
    path = test_exported.graph(tmp_path / "onnx", (1, 16_000))
    front_end = Embedded(pretrained=encoder_name("onnx", str(path)), path=str(path))
    with pytest.raises(AsdRayError, match=f"{path}: clips of 0.5 s have no frames of this encoder, .*; take longer"):
        front_end(torch.zeros(1, 8_000))


def test_a_config_that_makes_a_package_fail_is_one_message() -> None:
    message = "x: it is no such encoder: AttributeError: 'int' has no attribute 'size'; give a net"
    with pytest.raises(AsdRayError, match=message), explained("x", "a net"):
        raise AttributeError("'int' has no attribute 'size'")


def test_a_fresh_process_learns_the_sizes_without_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the note in the cache. A damaged one is written again, and a copy under another name is none."""
    path, other = (test_exported.graph(tmp_path / rate, rate=rate) for rate in ("8000", "16000"))
    loaded: list[str] = []

    def load(name: str, files: dict[str, str]) -> object:
        loaded.append(name)
        return load_encoder(name, files)

    monkeypatch.setattr(embedded, "load_encoder", load)

    def loads_of(file: Path, cache: Path = tmp_path / "cache") -> int:
        """How often a new process loads the encoder to learn its sizes."""
        for kept in (embedded._sizes, embedded._encoder):
            kept.cache_clear()
        before = len(loaded)
        context = Context(weights={"onnx": str(file)}, features=FeatureCache(cache))
        assert Pretrained(context, encoder="onnx").front_end.shape == (1, 1, 8)
        return len(loaded) - before

    assert [loads_of(path), loads_of(path)] == [1, 0]
    (note,) = (tmp_path / "cache" / "encoders").iterdir()
    whole = note.read_text()
    for damaged in ("", "[]", "{", whole[:-9], whole.replace("8]", "9]"), whole.replace("[1", '["1"'), "[" * 2_000):
        note.write_text(damaged)
        assert [loads_of(path), loads_of(path)] == [1, 0], damaged
    assert note.read_text() == whole
    (note.parent / note.name.replace(note.stem, encoder_name("onnx", str(other)).replace(":", "-"))).write_text(whole)
    assert loads_of(other) == 1
    (tmp_path / "file").write_text("no folder")
    assert [loads_of(path, tmp_path / "file"), loads_of(path, tmp_path / "file")] == [1, 1]
    front_end = Pretrained(Context(weights={"onnx": str(path)}), encoder="onnx").front_end
    assert front_end.hash == Embedded(pretrained=encoder_name("onnx", str(path))).hash


def test_the_sizes_of_an_encoder_do_not_load_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for with each batch and each entry of the cache; on a GPU its encoder would be lost each time."""
    front_ends, loaded = [], []
    for rate in ("8000", "16000"):
        path = test_exported.graph(tmp_path / rate, rate=rate)
        front_ends.append(Embedded(pretrained=encoder_name("onnx", str(path)), path=str(path)))

    def load(name: str, files: dict[str, str]) -> object:
        loaded.append(name)
        return load_encoder(name, files)

    monkeypatch.setattr(embedded, "load_encoder", load)
    for _ in range(3):
        assert [front_end.shape for front_end in front_ends] == [(1, 1, 8)] * 2
    assert loaded == [front_end.pretrained for front_end in front_ends]
