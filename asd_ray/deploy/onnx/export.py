"""One detector -> one ONNX file with its front end, its net and the statistics that it learned."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asd_ray import __version__
from asd_ray._precision import full_float32
from asd_ray.deploy.onnx.errors import CannotExport
from asd_ray.deploy.onnx.families import score_net
from asd_ray.deploy.onnx.score_net import ScoreNet
from asd_ray.detectors import Detector
from asd_ray.errors import AsdRayError, unknown
from asd_ray.storage.atomic import written_aside

OPSET = 20
PACKAGES = ("onnx", "onnxscript")  # torch.onnx imports them


@dataclass(frozen=True)
class Exported:
    """What a file takes and gives. It is stored in the file too, as its metadata."""

    variants: tuple[str, ...]  # the outputs
    rate: int  # Hz of the samples
    samples: int | None  # the length of every clip; None for any length from `least_samples`
    least_samples: int
    ids: tuple[str, ...]  # "machine/id" by the number that the input `id` takes; () if the file has no such input


@full_float32()
def export(detector: Detector, path: Path, variants: Sequence[str] = ()) -> Exported:
    """Write a fitted detector as an ONNX file. `variants` are the outputs, all of the detector's by default.

    Raises CannotExport with the reason if ONNX cannot express the detector; `why_not` tests its class beforehand.
    """
    check_packages()
    net = score_net(detector)
    samples = torch.zeros(2, net.example_samples)
    inputs = (samples, torch.zeros(2, dtype=torch.int64)) if net.ids else (samples,)
    with torch.no_grad():
        known = tuple(net(*inputs))
    for variant in variants:
        if variant not in known:
            raise unknown("variant", variant, known)
    exported = Exported(tuple(variants) or known, net.rate, net.samples, net.least_samples, net.ids)
    content = _model(_Outputs(net, exported.variants), inputs, exported)
    with written_aside(path) as aside:
        aside.write_bytes(content)
    return exported


def check_packages() -> None:
    """Raise if a package is missing that exporting needs, and scoring does not."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise AsdRayError(f"exporting to ONNX needs {' and '.join(missing)}; install it: pip install 'asd_ray[onnx]'")


class _Outputs(nn.Module):
    """The chosen variants as a tuple, in 32 bits."""

    def __init__(self, net: ScoreNet, variants: Sequence[str]) -> None:
        super().__init__()
        self.net, self.variants = net, tuple(variants)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        scores = self.net(*inputs)
        return tuple(scores[variant].float() for variant in self.variants)


def _model(outputs: _Outputs, inputs: tuple[Tensor, ...], exported: Exported) -> bytes:
    clips, samples = torch.export.Dim("clips"), torch.export.Dim("samples", min=exported.least_samples)
    shape: dict[int, Any] = {0: clips} if exported.samples else {0: clips, 1: samples}
    shapes = (shape, {0: clips})[: len(inputs)]
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            outputs.eval(),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=["samples", "id"][: len(inputs)],
            dynamic_shapes=(shapes,),
            verbose=False,
        )
    assert program is not None
    fixed = [size for size in program.model.graph.inputs[0].shape or () if isinstance(size, int)]
    if fixed != [exported.samples] * (exported.samples is not None):  # torch fixes a size that its code compares
        raise CannotExport("its code takes clips of one number or length only")
    _name_outputs(program.model.graph, exported.variants)
    model = program.model_proto
    facts = {"asd_ray": __version__, **asdict(exported)}
    for name, value in facts.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    content: bytes = model.SerializeToString()
    return content


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    """Give the outputs their names. Other values get new ones, because the exporter calls a mean "mean" as well."""
    for number, value in enumerate(value for node in graph for value in node.outputs):
        value.name = f"value_{number}"
    for value, name in zip(graph.outputs, names, strict=True):
        value.name = name


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that we do not use, and of its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
