from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from asd_ray.detectors.encoders.loading import HERE, NETS, encoder_name, load_encoder
from asd_ray.errors import AsdRayError

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
