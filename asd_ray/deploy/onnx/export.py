"""One detector -> one ONNX file with its front end, its net and the statistics that it learned."""

from __future__ import annotations

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
from asd_ray.deploy.onnx.families import score_net
from asd_ray.deploy.onnx.score_net import ScoreNet
from asd_ray.detectors import Detector
from asd_ray.errors import unknown
from asd_ray.storage.atomic import written_aside

OPSET = 20


@dataclass(frozen=True)
class Exported:
    """What a file takes and gives. It is stored in the file too, as its metadata."""

    variants: tuple[str, ...]  # the outputs
    rate: int  # Hz of the samples
    samples: int | None  # the length of every clip; None for any length from `least_samples`
    least_samples: int
    ids: tuple[str, ...]  # "machine/id" by the number that the input `id` takes; () if the file has no such input


def export(detector: Detector, path: Path, variants: Sequence[str] = ()) -> Exported:
    """Write a fitted detector as an ONNX file. `variants` are the outputs, all of the detector's by default.

    Raises AsdRayError with the reason if the detector cannot be exported; `why_not` tells it beforehand.
    """
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
