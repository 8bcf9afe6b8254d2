"""Programs that ask for more memory than any encoder needs end in one message, before they get it."""

from __future__ import annotations

import contextlib
import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.encoders import bounds, program
from asd_ray.detectors.encoders.bounds import NotReadable, Room
from asd_ray.detectors.encoders.exported import build
from asd_ray.detectors.encoders.program import read_program

from .files import refused
from .test_exported import MODEL, Frames, net, rewritten, waves
from .test_exported import program as exported

WEIGHTS = "data/weights/model_weights_config.json"
Change = Callable[[Any], None]


class Declared(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        frames: Tensor = super().forward(waves)
        return frames + torch.ones(1 << 40).sum()


class Repeated(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        frames: Tensor = super().forward(waves)
        return frames + self.scale.repeat(1_000_000, 1_000).sum()


class Doubled(Frames):
    def forward(self, waves: Tensor) -> Tensor:
        frames: Tensor = super().forward(waves)
        more = self.scale[None]
        for _ in range(40):
            more = torch.cat([more, more])
        return frames + more.sum()


class Held(nn.Module):
    """Sixty steps of which each needs the last alone, or all that were before."""

    def __init__(self, is_all: bool) -> None:
        super().__init__()
        self.is_all = is_all

    def forward(self, waves: Tensor) -> Tensor:
        found = [waves[:, None].expand(-1, 16, -1) + 0.0]
        for _ in range(60):
            found.append(found[-1] + 1)
        return torch.stack(found if self.is_all else found[-1:], 1).sum(1).transpose(1, 2)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("program") / "good.pt2", net(), samples=8_000, batch=1)


def changed(good: Path, name: str, change: Change) -> Path:
    def rewrite(content: bytes) -> bytes:
        found = json.loads(content)
        change(found)
        return json.dumps(found).encode()

    return rewritten(good, good.with_stem(f"{good.stem}-changed"), {name: rewrite})


@pytest.mark.parametrize("module", [Declared, Repeated, Doubled])
def test_tensors_that_no_memory_holds(tmp_path: Path, module: type[Frames]) -> None:
    path = exported(tmp_path / "encoder.pt2", module().eval(), samples=8_000, batch=1)
    refused(build, "exported", path, "GiB are allowed for so many clips", "it fails for (1, 8000) waves")


def test_a_chain_of_steps_holds_what_is_still_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is 0.5 MB."""
    monkeypatch.setattr(bounds, "FIXED", 4 << 20)
    monkeypatch.setattr(bounds, "PER_CLIP", 0)
    chain, every = (
        exported(tmp_path / f"{is_all}.pt2", Held(is_all), samples=8_000, batch=1) for is_all in (False, True)
    )
    assert build("exported", str(chain)).width == 16
    refused(build, "exported", every, "needs 0.0 GiB, and 0.0 GiB are allowed")


def node(target: str, *args: Any) -> Change:
    """Adds a step before all others."""

    def change(model: Any) -> None:
        inputs = [{"name": "", "arg": {kind: value}, "kind": 1} for kind, value in args]
        step = {"target": target, "inputs": inputs, "outputs": [{"as_sym_int": {"as_name": "large"}}], "metadata": {}}
        model["graph_module"]["graph"]["nodes"].insert(0, step)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (node("_operator.pow", ("as_int", 10), ("as_int", 10**9)), "pow has the exponent 1000000000"),
        (node("_operator.mul", ("as_ints", [1, 2]), ("as_string", "a")), "mul has an argument that is no number"),
        (node("_operator.mul", ("as_ints", [1, 2]), ("as_int", 10**9)), "mul has an argument that is no number"),
        (node("_operator.mod", ("as_string", "%99999999999d"), ("as_int", 1)), "mod has an argument that is no number"),
        (node("_operator.mul", ("as_int", 1 << 62), ("as_int", 4)), "mul gives a value that is no size"),
        (node("_operator.truediv", ("as_int", 1), ("as_int", 0)), "ZeroDivisionError"),
    ],
)
def test_numbers_that_are_no_sizes(good: Path, change: Change, words: str) -> None:
    refused(build, "exported", changed(good, MODEL, change), words)


@pytest.mark.parametrize("sizes", [(1_000_000, 1_000_000_000), (1 << 40, None), (None, 1 << 62), (0, 8_000), (-1, -1)])
def test_waves_that_no_memory_holds(good: Path, sizes: tuple[int | None, int | None]) -> None:
    def change(model: Any) -> None:
        graph = model["graph_module"]["graph"]
        (name,) = (
            spec["user_input"]["arg"]["as_tensor"]["name"]
            for spec in model["graph_module"]["signature"]["input_specs"]
            if "user_input" in spec
        )
        graph["tensor_values"][name]["sizes"] = [{} if size is None else {"as_int": size} for size in sizes]

    refused(build, "exported", changed(good, MODEL, change), "which no computer can; export it with dynamic or smaller")


@pytest.mark.parametrize(
    "content", [b"[" * 1_000_000, b'{"graph_module": ' + b"[" * 500 + b"]" * 500 + b"}", b"\xff\xfe", b""]
)
def test_a_graph_that_is_no_json(good: Path, tmp_path: Path, content: bytes) -> None:
    other = rewritten(good, tmp_path / "other.pt2", {MODEL: lambda _: content})
    refused(build, "exported", other, f"{MODEL}: this is no JSON", "save one with torch.export.save")


def test_a_graph_that_is_too_long(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MOST_JSON", 1 << 20)
    long = changed(good, MODEL, lambda model: model.update(more="x" * (1 << 20)))
    refused(build, "exported", long, f"{MODEL} has more than 1 MiB, which no encoder needs")


def test_weights_that_share_bytes_are_not_copied_without_end(good: Path) -> None:
    def more_inputs(model: Any) -> None:
        specs = model["graph_module"]["signature"]["input_specs"]
        specs += [{"parameter": {"arg": {"name": f"p{n}"}, "parameter_name": f"alias{n}"}} for n in range(400)]

    def more_weights(config: Any) -> None:
        largest = max(config["config"].values(), key=lambda item: len(item["tensor_meta"]["sizes"]))
        for n in range(400):
            meta = {**largest["tensor_meta"], "sizes": [{"as_int": 3_000 - n}], "strides": [{"as_int": 1}]}
            config["config"][f"alias{n}"] = {**largest, "tensor_meta": meta}

    other = changed(changed(good, MODEL, more_inputs), WEIGHTS, more_weights)
    refused(build, "exported", other, "its weights take more than 4 times the bytes of the file")


def test_operations_of_which_the_size_depends_on_values() -> None:
    room = Room(1, [])
    with pytest.raises(NotReadable, match="bincount.default takes depends on values"):
        room.check(torch.ops.aten.bincount.default, [torch.tensor([10**12])], {})
    room.check(torch.ops.aten.nonzero.default, [torch.ones(3)], {})
    room.check(torch.ops.aten._local_scalar_dense.default, [torch.ones(())], {})
    with pytest.raises(NotReadable, match="outer.default needs 4096.0 GiB"):
        room.check(torch.ops.aten.outer.default, [torch.ones(1).expand(1 << 20)] * 2, {})


ONE = torch.ones(1)
LONG, TRUE, TALL, FIRST = (
    ONE.expand(1 << 40),
    ONE.bool().expand(1 << 40),
    ONE.expand(1 << 20, 1),
    torch.zeros(1, dtype=torch.int64).expand(1 << 20, 1),
)


@pytest.mark.parametrize(
    ("name", "args", "needed"),
    [
        ("nonzero.default", [LONG], "8192.0 GiB"),
        ("masked_select.default", [LONG, TRUE], "20480.0 GiB"),
        ("masked_select.default", [TALL, TRUE[None, : 1 << 20]], "20480.0 GiB"),
        ("index.Tensor", [LONG, [TRUE]], "12288.0 GiB"),
        ("index.Tensor", [TALL.expand(-1, 1 << 20), [None, TRUE[: 1 << 20]]], "4096.0 GiB"),
        ("index.Tensor", [TALL.expand(-1, 1 << 20), [FIRST, TRUE[: 1 << 20]]], "4096.0 GiB"),
        ("index_put_.default", [LONG, [TRUE], ONE], "13312.0 GiB"),
    ],
)
def test_views_with_more_values_than_bytes(name: str, args: list[Any], needed: str) -> None:
    operation = operator.attrgetter(name)(torch.ops.aten)
    with pytest.raises(NotReadable, match=rf"needs {needed}"):
        Room(1, []).check(operation, args, {})
    by_name = {argument.name: value for argument, value in zip(operation._schema.arguments, args, strict=False)}
    with pytest.raises(NotReadable, match=rf"needs {needed}"):
        Room(1, []).check(operation, [], dict(reversed(by_name.items())))


def test_what_an_index_by_a_mask_takes_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask of 1 MB out of values of 4 MB: 4 MB of values, and 8 MB of places."""
    monkeypatch.setattr(bounds, "PER_CLIP", 0)
    values = torch.ones(1 << 20)
    for most, fits in ((12 << 20, True), ((12 << 20) - 1, False)):
        monkeypatch.setattr(bounds, "FIXED", most)
        with contextlib.nullcontext() if fits else pytest.raises(NotReadable):
            Room(1, []).check(torch.ops.aten.index.Tensor, [values, [values > 0]], {})


def test_the_operations_of_encoders_fit(good: Path) -> None:
    encoder, _ = read_program(str(good))
    with torch.no_grad():
        torch.testing.assert_close(encoder(waves(8_000, 1)), net()(waves(8_000, 1)))
