"""A program of torch.export, read from its file and run without running code of the file.

``torch.export.load`` is not used. In torch 2.13 it unpickles what it cannot read otherwise (weights, constants, sample
inputs), evaluates the text of symbolic sizes, and takes any attribute of torch as an operation. Here the archive's JSON
is read, the weights are raw bytes, and a graph may call torch's own operations on tensors and sizes only, as far as
they fit into a share of the memory (`bounds.py`).
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from asd_ray._json import loads
from asd_ray.detectors.encoders.bounds import NotReadable, Room, of_numbers
from asd_ray.errors import AsdRayError

MOST_JSON = 32 << 20  # bytes of a graph; that of AST-base has 2 MB
MOST_DEPTH = 200  # of brackets in it
COPIES = 4  # weights may share bytes of the file, and take so many times its size
DTYPES = {
    number: getattr(torch, name)
    for number, name in enumerate(
        ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex32", "complex64"], 1
    )
} | {11: torch.complex128, 12: torch.bool, 13: torch.bfloat16}
FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}
STRIDED = 7
OF_SIZES = [
    "add",
    "sub",
    "mul",
    "floordiv",
    "truediv",
    "mod",
    "neg",
    "pow",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and_",
    "or_",
    "not_",
]
OF_MATH = ["ceil", "floor", "trunc", "sqrt", "log2"]
OF_TORCH = ["sym_float", "sym_int", "sym_max", "sym_min", "sym_not", "sym_ite", "sym_sqrt", "sym_sum"]
TARGETS: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": of_numbers(getattr(operator, name), name) for name in OF_SIZES},
    **{f"math.{name}": of_numbers(getattr(math, name), name) for name in OF_MATH},
    **{f"torch.{name}": of_numbers(getattr(torch, name), name) for name in OF_TORCH if hasattr(torch, name)},
    "_operator.getitem": operator.getitem,  # of several results
}
ATEN = re.compile(r"torch\.ops\.(aten|prims)\.(\w+)\.(\w+)")
EFFECTS = re.compile(r"_?set_\w*|\w*seed|_cufft\w*|requires_grad_|_?resize\w*")  # on the process, or a tensor itself
CHECKS = re.compile(r"torch\.ops\.aten\.(_assert_\w+|sym_constrain_range\w*)\.\w+")  # of sizes; they compute nothing
LISTS = {"as_tensors": "as_tensor", "as_sym_ints": "as_sym_int", "as_sym_bools": "as_sym_bool"}
PLAIN = ("as_int", "as_bool", "as_string", "as_ints", "as_bools")
SPECS = {  # kind of an input -> the key of its name among the weights
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}


META = ("dtype", "layout", "sizes", "strides", "storage_offset")  # of a weight; what else it has is not read


@dataclass(frozen=True)
class _Name:
    """An argument that is a value of the graph."""

    name: str


class _Device:
    """An argument that is the device of the waves, whatever device the program was exported on."""


@dataclass(frozen=True)
class _Step:
    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    outputs: list[str | None]

    def run(self, values: dict[str, Any], device: torch.device, room: Room) -> None:
        args = [_resolved(value, values, device, room) for value in self.args]
        kwargs = {name: _resolved(value, values, device, room) for name, value in self.kwargs.items()}
        if isinstance(self.function, torch._ops.OpOverload):
            room.check(self.function, args, kwargs)
        found = self.function(*args, **kwargs)
        if len(self.outputs) == 1 and not isinstance(found, list | tuple):
            found = [found]
        for name, value in zip(self.outputs, found if self.outputs else (), strict=True):
            if name is not None:
                if name in values:
                    raise NotReadable(f"it has two values of the name {name!r:.100}")
                values[name] = value
                room.hold([value])


class _Graph:
    """Steps that map inputs to outputs. A graph inside of another sees its own inputs only."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self.inputs = [_name(item) for item in graph["inputs"]]
        self.outputs = [_argument(item) for item in graph["outputs"]]
        self.steps = [step for node in graph["nodes"] if (step := _step(node)) is not None]
        needed = set(_names(self.outputs))
        self._last: list[list[str]] = []
        for step in reversed(self.steps):  # the values that no later step and no output needs
            used = {*_names(step.args), *_names(list(step.kwargs.values())), *filter(None, step.outputs)}
            self._last.append(sorted(used - needed))
            needed |= used
        self._last.reverse()

    def run(self, device: torch.device, room: Room, *inputs: Any) -> list[Any]:
        values: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        room.hold(values.values())
        for step, last in zip(self.steps, self._last, strict=True):
            step.run(values, device, room)
            room.free([values.pop(name) for name in last if name in values])
        found = [_resolved(output, values, device, room) for output in self.outputs]
        room.free(values.values())
        return found


def _with_gradients(enabled: bool, graph: Callable[..., Any], *inputs: Any) -> Any:
    with torch.set_grad_enabled(enabled and torch.is_grad_enabled()):
        return graph(*inputs)


def _with_autocast(kind: str, dtype: Any, enabled: bool, cached: bool, graph: Callable[..., Any], *inputs: Any) -> Any:
    kinds = [value.device.type for value in inputs if isinstance(value, Tensor)]  # where it runs now
    with torch.autocast(kinds[0] if kinds else kind, dtype=dtype, enabled=enabled, cache_enabled=cached):
        return graph(*inputs)


# ``with torch.no_grad():`` and ``with torch.autocast(…):`` in the exported code.
TARGETS["torch.ops.higher_order.wrap_with_set_grad_enabled"] = _with_gradients
TARGETS["torch.ops.higher_order.wrap_with_autocast"] = _with_autocast


class Program(nn.Module):
    """One tensor in, one tensor out. Its weights are parameters and buffers, so that it can be moved and trained."""

    def __init__(self, graph: Mapping[str, Any], signature: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._inputs: list[str | None] = []  # of the graph: the name of a parameter or buffer, None for the waves
        for number, spec in enumerate(signature["input_specs"]):
            ((kind, content),) = spec.items()
            if kind == "user_input":
                self._inputs.append(None)
                continue
            if kind not in SPECS:
                raise NotReadable(f"an input of the graph is a {kind}, but weights are all that it may have")
            values, own = weights[content[SPECS[kind]]], f"value_{number}"
            self._inputs.append(own)
            if kind == "parameter" and values.is_floating_point():
                self.register_parameter(own, nn.Parameter(values))
            else:
                self.register_buffer(own, values)
        if self._inputs.count(None) != 1 or [set(spec) for spec in signature["output_specs"]] != [{"user_output"}]:
            raise NotReadable("it must take one tensor, the waves, and return one, the embeddings")
        self._graph = _Graph(graph)
        meta = graph["tensor_values"][self._graph.inputs[self._inputs.index(None)]]
        sizes = [size.get("as_int") for size in meta["sizes"]]
        if len(sizes) != 2 or DTYPES.get(meta["dtype"]) is not torch.float32:
            raise NotReadable("it must take waves as [n, samples] in float32")
        self.sizes: tuple[int | None, int | None] = (sizes[0], sizes[1])  # None where any size is allowed

    def forward(self, waves: Tensor) -> Tensor:
        inputs = [waves if name is None else getattr(self, name) for name in self._inputs]
        result: Tensor = self._graph.run(waves.device, Room(len(waves), inputs), *inputs)[0]
        return result


def read_program(path: str) -> tuple[Program, dict[str, str]]:
    """The program of a file of ``torch.export.save``, and the texts of its `extra_files`.

    NotReadable or another exception if it is no such file.
    """
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        if any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist()):
            raise NotReadable("it is compressed, which torch.export.save never does")
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        models = [name for name in names if re.fullmatch(r"models/[^/]+\.json", name)]
        if len(models) != 1 or any(name.startswith("data/aotinductor/") for name in names):
            raise NotReadable("it must hold one program, and no compiled code")
        model = models[0].removeprefix("models/").removesuffix(".json")

        def content(name: str) -> bytes:
            if name not in names:
                raise NotReadable(f"it lacks {name}; save the program again with a newer torch")
            return archive.read(names[name])

        def parsed(name: str) -> Any:
            if name in names and archive.getinfo(names[name]).file_size > MOST_JSON:
                raise NotReadable(f"{name} has more than {MOST_JSON >> 20} MiB, which no encoder needs")
            try:
                return loads(content(name), name, most_depth=MOST_DEPTH, most_bytes=MOST_JSON)
            except AsdRayError as error:
                raise NotReadable(str(error)) from error

        module = parsed(models[0])["graph_module"]
        used = {_weight_of(spec) for spec in module["signature"]["input_specs"]}
        weights: dict[str, Tensor] = {}
        known: dict[str, Tensor] = {}  # names may share a tensor, as tied weights do
        room = COPIES * size
        for kind in ("weights", "constants"):
            config = parsed(f"data/{kind}/{model}_{kind}_config.json")["config"]
            for name, payload in config.items():
                if payload["use_pickle"] or not payload["tensor_meta"]:
                    raise NotReadable(f"{name} is a pickle, which may run code; make it a dense tensor or leave it out")
                if name not in used:
                    continue
                path, meta = f"data/{kind}/{payload['path_name']}", payload["tensor_meta"]
                key = json.dumps([path, *(meta[part] for part in META)])
                if key not in known:
                    known[key] = _tensor(content(path), meta)
                    room -= known[key].nbytes
                if room < 0:
                    raise NotReadable(f"its weights take more than {COPIES} times the bytes of the file")
                weights[name] = known[key]
        extra = {name.removeprefix("extra/"): content(name).decode() for name in names if name.startswith("extra/")}
    return Program(module["graph"], module["signature"], weights), extra


def _weight_of(spec: Mapping[str, Any]) -> str | None:
    """The name of the weight that is an input of the graph; None for the waves and for what Program refuses."""
    ((kind, content),) = spec.items()
    return content[SPECS[kind]] if kind in SPECS else None


def _tensor(content: bytes, meta: Mapping[str, Any]) -> Tensor:
    dtype = DTYPES[meta["dtype"]]
    if meta["layout"] != STRIDED:
        raise NotReadable("a weight is no dense tensor")
    sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
    if math.prod(sizes) * dtype.itemsize > len(content):
        raise NotReadable("a weight has more values than its bytes hold")
    if not content:
        return torch.zeros(sizes, dtype=dtype)
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    # as_strided refuses what lies outside of the bytes. A copy, because weights may share bytes.
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"]).clone()


def _step(node: Mapping[str, Any]) -> _Step | None:
    target = node["target"]
    if CHECKS.fullmatch(target):
        return None
    inputs = node["inputs"]
    args = [_argument(item["arg"]) for item in inputs if item.get("kind") != 2]
    kwargs = {str(item["name"]): _argument(item["arg"]) for item in inputs if item.get("kind") == 2}
    outputs = [name for output in node["outputs"] for name in _outputs(output)]
    return _Step(_function(target), args, kwargs, outputs)


def _function(target: str) -> Callable[..., Any]:
    if target in TARGETS:
        return TARGETS[target]
    if match := ATEN.fullmatch(target):
        space, name, overload = match.groups()
        found = getattr(getattr(getattr(torch.ops, space), name, None), overload, None)
        if isinstance(found, torch._ops.OpOverload) and not EFFECTS.fullmatch(name) and _computes(found):
            return found
    raise NotReadable(f"it calls {target!r:.100}, which is no operation of torch on tensors alone")


def _computes(operation: torch._ops.OpOverload) -> bool:
    """Whether all that an operation does is to map tensors. Exported nets may do so in place, as ``relu_`` does."""
    schema: Any = operation._schema
    if any(item.name == "filename" for item in schema.arguments):  # aten::save and aten::from_file
        return False
    maps = schema.returns and any("Tensor" in str(item.type) for item in [*schema.arguments, *schema.returns])
    return bool(maps) and (not schema.is_mutable or schema.name.endswith("_"))


def _argument(argument: Mapping[str, Any]) -> Any:
    """The value of an argument, or a _Name of one that only a run has."""
    ((kind, value),) = argument.items()
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return _Name(value["name"])
    if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        ((inner, content),) = value.items()
        return _Name(content) if inner == "as_name" else content
    if kind in LISTS:
        return [_argument({LISTS[kind]: item}) for item in value]
    if kind == "as_optional_tensors":
        return [_argument(item) for item in value]
    if kind in PLAIN:
        return value
    if kind == "as_float":
        return float(value)
    if kind == "as_floats":
        return [float(item) for item in value]
    if kind == "as_complex":
        return complex(float(value["real"]), float(value["imag"]))
    if kind == "as_scalar_type":
        return DTYPES[value]
    if kind == "as_memory_format":
        return FORMATS[value]
    if kind == "as_layout" and value == STRIDED:
        return torch.strided
    if kind == "as_device":
        return _Device()
    if kind == "as_graph":
        return _Graph(value["graph"])
    raise NotReadable(f"an operation has an argument of the kind {kind}, which is not supported here; export to ONNX")


def _names(value: Any) -> Iterator[str]:
    """The values that arguments name. A graph inside of them sees its own inputs only."""
    if isinstance(value, _Name):
        yield value.name
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


def _resolved(value: Any, values: Mapping[str, Any], device: torch.device, room: Room) -> Any:
    if isinstance(value, _Name):
        return values[value.name]
    if isinstance(value, _Device):
        return device
    if isinstance(value, _Graph):
        return partial(value.run, device, room)
    return [_resolved(item, values, device, room) for item in value] if isinstance(value, list) else value


def _outputs(output: Mapping[str, Any]) -> list[str | None]:
    ((kind, value),) = output.items()
    if kind == "as_none":
        return [None]
    return [_name({"as_tensor": item}) for item in value] if kind == "as_tensors" else [_name(output)]


def _name(argument: Mapping[str, Any]) -> str:
    """The name of a value; signatures write ``{"name": …}``, arguments ``{"as_tensor": {"name": …}}``."""
    content: Any = argument if "name" in argument else next(iter(argument.values()))
    return str(content["name"] if "name" in content else content["as_name"])
