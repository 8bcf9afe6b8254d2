from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asd_ray.detectors.encoders import embedded
from asd_ray.detectors.encoders.embedded import Embedded
from asd_ray.detectors.encoders.loading import HERE, NETS, encoder_name, load_encoder
from asd_ray.errors import AsdRayError

from . import test_beats, test_dasheng, test_exported

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
