from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from asd_ray.detectors.encoders.exported import RATE, build
from asd_ray.detectors.encoders.loading import encoder_name, load_encoder
from asd_ray.detectors.encoders.program import read_program

from .files import Canary, refused

ROOT = Path(__file__).parents[3]
WIDTH, LENGTH, HOP = 8, 400, 160
MODEL, SAMPLE_INPUTS = "models/model.json", "data/sample_inputs/model.pt"  # in an archive of torch.export


class Frames(nn.Module):
    """Waves in, frames out, as a user may write it: two layers, one of them without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, WIDTH, LENGTH, HOP)
        self.block = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
        self.register_buffer("scale", torch.tensor(3.0))

    def forward(self, waves: Tensor) -> Tensor:
        with torch.no_grad():
            frames = self.first(waves[:, None]).transpose(1, 2) * self.scale
        parts = self.block(frames).split(WIDTH // 2, dim=-1)
        return torch.stack([frames, torch.cat(parts[::-1], -1)], 1)


def net() -> Frames:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Frames().eval()


def waves(samples: int = 16_000, count: int = 3) -> Tensor:
    return torch.rand(count, samples, generator=torch.Generator().manual_seed(1)) - 0.5


def program(path: Path, module: nn.Module, batch: int = 2, samples: int = 0, rate: str | None = "16000") -> Path:
    auto = torch.export.Dim.AUTO
    sizes = None if samples else ({0: auto, 1: auto},)
    exported = torch.export.export(module, (torch.zeros(batch, samples or 8_000),), dynamic_shapes=sizes)
    torch.export.save(exported, path, extra_files={} if rate is None else {RATE: rate})
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program(tmp_path_factory.mktemp("program") / "good.pt2", net())


def rewritten(path: Path, other: Path, changes: dict[str, Callable[[bytes], bytes]], **options: Any) -> Path:
    """A copy of an archive with some of its files changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", **options) as new:
        for name in old.namelist():
            change = changes.get(name.partition("/")[2], bytes)
            new.writestr(name, change(old.read(name)))
    return other


def graph(path: Path, sizes: tuple[Any, Any] = ("n", "samples"), rate: str | None = "16000", **changes: Any) -> Path:
    """A file of ONNX: frames of a convolution, [n, frames, width]."""
    kernel = net().first
    axes, weight, bias = (
        numpy_helper.from_array(value.numpy(), name)
        for name, value in (
            ("axes", torch.tensor([1])),
            ("weight", kernel.weight.detach()),
            ("bias", kernel.bias.detach() if kernel.bias is not None else torch.zeros(WIDTH)),
        )
    )
    nodes = changes.get("nodes") or [
        helper.make_node("Unsqueeze", ["waves", "axes"], ["channel"]),
        helper.make_node("Conv", ["channel", "weight", "bias"], ["bands"], strides=[HOP]),
        helper.make_node("Transpose", ["bands"], ["frames"], perm=[0, 2, 1]),
    ]
    inputs = [helper.make_tensor_value_info("waves", changes.get("dtype", TensorProto.FLOAT), sizes)]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in changes.get("outputs", ["frames"])
    ]
    made = helper.make_graph(nodes, "encoder", inputs, outputs, [axes, weight, bias])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if rate is not None:
        model.metadata_props.add(key=RATE, value=rate)
    onnx.save_model(model, path, save_as_external_data=changes.get("external", False), size_threshold=64)
    return path


def own_frames(sound: Tensor) -> Tensor:
    with torch.no_grad():
        return net().first(sound[:, None]).transpose(1, 2)


def test_a_program_gives_what_the_module_gives(good: Path) -> None:
    encoder = build("exported", str(good)).eval()
    assert (encoder.rate, encoder.layers, encoder.width, encoder.tunable) == (16_000, 2, WIDTH, True)
    for samples in (LENGTH, 16_000):
        with torch.no_grad():
            found, own = encoder(waves(samples)), net()(waves(samples))
        assert found.shape[2] == encoder.frames(samples)
        torch.testing.assert_close(found, own, atol=1e-5, rtol=1e-5)


def test_the_weights_of_a_program_can_learn(good: Path) -> None:
    encoder = build("exported", str(good))
    module = net()
    for each in (encoder, module):
        each(waves()).square().mean().backward()
    own = {tuple(weight.shape): weight.grad for weight in module.parameters() if weight.grad is not None}
    found = {tuple(weight.shape): weight.grad for weight in encoder.parameters() if weight.grad is not None}
    assert own.keys() == found.keys()
    assert (WIDTH, 1, LENGTH) not in found  # without gradients, as in the module
    shape = (3 * WIDTH, WIDTH)
    torch.testing.assert_close(found[shape], own[shape])


@pytest.mark.parametrize("net_name", ["exported", "onnx"])
def test_fixed_sizes(tmp_path: Path, net_name: str) -> None:
    """A batch of 2 and one second: longer clips are cut, an odd batch is filled up."""
    if net_name == "exported":
        path, own = program(tmp_path / "encoder.pt2", net(), samples=16_000), net()
    else:
        path, own = graph(tmp_path / "encoder.onnx", (2, 16_000)), lambda sound: own_frames(sound)[:, None]
    encoder = build(net_name, str(path)).eval()
    sound = waves(40_000)
    assert encoder.frames(40_000) == 2 * encoder.frames(16_000) == 2 * 98
    assert encoder.frames(15_999) == 0
    refused(lambda *_: encoder(sound[:, :15_999]), net_name, path, "takes waves of 16000 samples, but there are 15999")
    with torch.no_grad():
        expected = torch.cat([own(sound[:, :16_000]), own(sound[:, 16_000:32_000])], 2)
        torch.testing.assert_close(encoder(sound), expected, atol=1e-5, rtol=1e-5)


def test_a_file_of_onnx(tmp_path: Path) -> None:
    encoder = build("onnx", str(graph(tmp_path / "encoder.onnx", rate="32000"))).eval()
    assert (encoder.rate, encoder.layers, encoder.width, encoder.tunable) == (32_000, 1, WIDTH, False)
    found = encoder(waves())
    assert found.shape == (3, 1, encoder.frames(16_000), WIDTH)
    torch.testing.assert_close(found[:, 0], own_frames(waves()), atol=1e-5, rtol=1e-5)


def test_pickles_in_a_program_never_run(good: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    torch.save({"code": Canary(ran)}, tmp_path / "code.pt")
    code = (tmp_path / "code.pt").read_bytes()
    function, arguments = Canary(ran).__reduce__()  # what reading the pickle would do
    function(*arguments)
    assert ran.exists()
    ran.unlink()
    inputs = rewritten(good, tmp_path / "inputs.pt2", {SAMPLE_INPUTS: lambda _: code})
    assert code in inputs.read_bytes()
    build("exported", str(inputs))  # the sample inputs are not read, which torch.export.load would unpickle
    assert not ran.exists()

    def pickled(content: bytes) -> bytes:
        config = json.loads(content)
        for item in config["config"].values():
            item["use_pickle"] = True
        return json.dumps(config).encode()

    for name in ("weights", "constants"):
        file = f"data/{name}/model_{name}_config.json"
        change: Callable[[bytes], bytes] = pickled
        if name == "constants":
            item = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
            change = lambda _, item=item: json.dumps({"config": {"x": item}}).encode()  # noqa: E731
        payload = {"weights": "data/weights/weight_0", "constants": "data/constants/opaque_obj_0"}[name]
        changes = {file: change, payload: lambda _: code}
        refused(
            build, "exported", rewritten(good, tmp_path / f"{name}.pt2", changes), "is a pickle, which may run code"
        )
    assert not ran.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten._print.default",
        "torch.ops.aten.set_data.default",
        "torch.ops.aten.set_.source_Tensor",
        "torch.ops.aten.set_grad_enabled.default",
        "torch.ops.aten.seed.default",
        "torch.ops.aten.manual_seed.default",
        "torch.ops.aten._cufft_set_plan_cache_max_size.default",
        "torch.ops.aten.add.out",
        "torch.ops.loaded_libraries.add.x",
        "torch.os.system",
        "torch.load",
        "_operator.methodcaller",
        "math.__loader__.load_module",
        "#custom:op",
    ],
)
def test_a_program_may_call_operations_on_tensors_only(good: Path, tmp_path: Path, target: str) -> None:
    def change(content: bytes) -> bytes:
        model = json.loads(content)
        model["graph_module"]["graph"]["nodes"][0]["target"] = target
        return json.dumps(model).encode()

    other = rewritten(good, tmp_path / "other.pt2", {MODEL: change})
    refused(build, "exported", other, target, "no operation of torch on tensors alone")


@pytest.mark.parametrize(
    "meta", [{"sizes": [10**9], "strides": [0]}, {"sizes": [2], "strides": [2]}, {"sizes": [2], "strides": [-1]}]
)
def test_a_weight_is_not_larger_than_its_bytes(good: Path, tmp_path: Path, meta: dict[str, list[int]]) -> None:
    def change(content: bytes) -> bytes:
        config = json.loads(content)
        item = next(item for item in config["config"].values() if item["tensor_meta"]["sizes"] == [{"as_int": WIDTH}])
        item["tensor_meta"]["storage_offset"] = {"as_int": 6}  # of 8
        item["tensor_meta"] |= {name: [{"as_int": number} for number in numbers] for name, numbers in meta.items()}
        return json.dumps(config).encode()

    other = rewritten(good, tmp_path / "other.pt2", {"data/weights/model_weights_config.json": change})
    refused(build, "exported", other, "it cannot be read as a program")


def test_weights_are_read_once_and_only_those_of_the_graph(good: Path, tmp_path: Path) -> None:
    """A small file may name the same bytes many times."""

    def change(content: bytes) -> bytes:
        config = json.loads(content)
        item = next(iter(config["config"].values()))
        config["config"] |= {f"more{number}": item for number in range(3)}
        return json.dumps(config).encode()

    def alias(content: bytes) -> bytes:
        config = json.loads(content)
        first, *others = [
            name for name, item in config["config"].items() if item["tensor_meta"]["sizes"] == [{"as_int": WIDTH}]
        ]
        config["config"] |= {name: config["config"][first] for name in others}
        return json.dumps(config).encode()

    weights = "data/weights/model_weights_config.json"
    plain = read_program(str(good))[0].state_dict()
    more = read_program(str(rewritten(good, tmp_path / "more.pt2", {weights: change})))[0].state_dict()
    assert more.keys() == plain.keys()
    tied = read_program(str(rewritten(good, tmp_path / "tied.pt2", {weights: alias})))[0].state_dict()
    assert len({values.data_ptr() for values in tied.values()}) < len({values.data_ptr() for values in plain.values()})


def test_text_of_sizes_is_not_evaluated(good: Path, tmp_path: Path) -> None:
    """``torch.export.load`` gives these texts to sympy, which evaluates them."""
    ran = tmp_path / "ran"

    def change(content: bytes) -> bytes:
        return content.replace(b'"expr_str": "', f'"expr_str": "open({str(ran)!r}, chr(119)) or '.encode())

    other = rewritten(good, tmp_path / "other.pt2", {MODEL: change})
    assert other.read_bytes() != good.read_bytes()
    with torch.no_grad():
        found = build("exported", str(other))(waves())
    torch.testing.assert_close(found, net()(waves()), atol=1e-5, rtol=1e-5)
    assert not ran.exists()


class InPlace(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        frames: Tensor = super().forward(waves)
        frames += 1
        return nn.functional.relu(frames, inplace=True)


def test_a_program_may_change_its_own_tensors_in_place(tmp_path: Path) -> None:
    path = program(tmp_path / "encoder.pt2", InPlace().eval())
    with zipfile.ZipFile(path) as archive:
        model = archive.read(f"{path.stem}/{MODEL}")
    assert b"aten.relu_" in model
    assert b"aten.add_" in model
    assert build("exported", str(path)).width == WIDTH


class Twice(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        frames: Tensor = super().forward(waves)
        return nn.functional.dropout(frames, training=True)


class Slow(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        frames: Tensor = super().forward(waves)
        return frames[:, :, :0]


class Clips(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        clips: Tensor = super().forward(waves).mean((1, 2))
        return clips


def test_programs_that_are_no_encoders_are_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("no program")
    (tmp_path / "cut.pt2").write_bytes(good.read_bytes()[:20_000])
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        archive.writestr("empty/byteorder", "little")
    for name in ("none", "text", "cut", "empty"):
        refused(build, "exported", tmp_path / f"{name}.pt2", "save one with torch.export.save, or export to ONNX")
    packed = rewritten(good, tmp_path / "packed.pt2", {}, compression=zipfile.ZIP_DEFLATED)
    refused(build, "exported", packed, "compressed")
    compiled = rewritten(good, tmp_path / "compiled.pt2", {})
    with zipfile.ZipFile(compiled, "a") as archive:
        archive.writestr("compiled/data/aotinductor/model/net.so", b"\x7fELF")
    refused(build, "exported", compiled, "no compiled code")
    modules = {
        Twice(): "call .eval()",
        Clips().eval(): "returns [1, 8]; give one",
        Slow().eval(): "for 8000 samples, 0.5 s, it returns [1, 2, 0, 8], but it must return frames",
    }
    for number, (module, words) in enumerate(modules.items()):
        refused(build, "exported", program(tmp_path / f"{number}.pt2", module, samples=8_000, batch=1), words)
    for text, words in {"": "have '' as the rate", "16e9": "have 16000000000.0 as the rate"}.items():
        other = rewritten(good, tmp_path / "rate.pt2", {f"extra/{RATE}": lambda _, text=text: text.encode()})
        refused(build, "exported", other, words, "extra_files=")


def test_files_of_onnx_that_are_no_encoders_are_refused(tmp_path: Path) -> None:
    cure = "export one file, with external_data=False, of waves in and embeddings out"
    (tmp_path / "text.onnx").write_text("no graph")
    path = graph(tmp_path / "good.onnx")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:3_000])
    for name in ("none", "text", "cut"):
        refused(build, "onnx", tmp_path / f"{name}.onnx", cure)
    refused(build, "onnx", graph(tmp_path / "external.onnx", external="external.bin"), "External data", cure)
    refused(build, "onnx", graph(tmp_path / "ids.onnx", dtype=TensorProto.INT64), cure)
    refused(build, "onnx", graph(tmp_path / "two.onnx", outputs=["frames", "bands"]), "one output", cure)
    custom = [helper.make_node("Runs", ["waves"], ["frames"], domain="code")]
    refused(build, "onnx", graph(tmp_path / "custom.onnx", nodes=custom), cure)
    random = [
        helper.make_node("Unsqueeze", ["waves", "axes"], ["still"]),
        helper.make_node("RandomNormalLike", ["still"], ["frames"]),
    ]
    refused(build, "onnx", graph(tmp_path / "random.onnx", nodes=random), "call .eval()")
    refused(
        build,
        "onnx",
        graph(tmp_path / "flat.onnx", nodes=[helper.make_node("Abs", ["waves"], ["frames"])]),
        "returns [1, 16000]",
    )
    refused(build, "onnx", graph(tmp_path / "rate.onnx", rate=None), "do not name the rate", "metadata_props.add")


def test_the_page_exports_an_encoder_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, to_onnx, to_program = re.findall(r"(?ms)^```python\n(.*?)^```$", (ROOT / "docs" / "encoders.md").read_text())
    names: dict[str, Any] = {}
    exec(to_onnx, names)
    exec(to_program, names)
    with torch.no_grad():
        own = names["encoder"](waves(20_000))[:, None]
        for net_name, file in {"onnx": "onnx.onnx", "exported": "exported.pt2"}.items():
            found = build(net_name, file)(waves(20_000))
            torch.testing.assert_close(found, own, atol=1e-5, rtol=1e-5)


def test_waves_that_are_too_short_are_one_message(tmp_path: Path) -> None:
    path = graph(tmp_path / "encoder.onnx")
    encoder = build("onnx", str(path))
    refused(lambda *_: encoder(waves(100)), "onnx", path, "fails for (3, 100) waves")


def test_a_copy_of_the_file_is_the_same_encoder(tmp_path: Path) -> None:
    path = graph(tmp_path / "encoder.onnx")
    name = encoder_name("onnx", str(path))
    shutil.copy(path, tmp_path / "copy.onnx")
    assert encoder_name("onnx", str(tmp_path / "copy.onnx")) == name
    assert encoder_name("onnx", str(graph(tmp_path / "other.onnx", rate="8000"))) != name
    assert load_encoder(name, {"onnx": str(tmp_path / "copy.onnx")}).width == WIDTH
