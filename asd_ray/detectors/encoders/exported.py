"""Any encoder that a user exported: a file of ONNX, or a program of torch.export.

Either takes waves [n, samples] as float32 in [-1, 1) and returns [n, frames, width], or [n, layers, frames, width]. Its
metadata name its rate as `asd_ray.rate`. Both sizes of the waves may vary, or may be fixed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.program import read_program
from asd_ray.errors import AsdRayError

RATE = "asd_ray.rate"
RATES = range(1_000, 1_000_000)  # Hz
LONGEST = 30  # seconds, where the file sets no length; chosen here: attention grows with the square of the length
FORM = "give one that takes [n, samples] in float32 and returns [n, frames, width] or [n, layers, frames, width]"
MOST_SAMPLES = 1 << 28  # that a file may fix as clips times samples: 16 clips of 17 minutes at 16 kHz
LOST = 1e-6  # two runs may differ by rounding alone, relative to the largest value


class Exported(Encoder):
    """`run` maps waves to embeddings; `sizes` are those of the waves that it takes, None where any is allowed."""

    def __init__(
        self, path: str, run: Callable[[Tensor], Tensor] | nn.Module, sizes: tuple[int | None, int | None], rate: int
    ) -> None:
        super().__init__()
        self.path, self.run, self.rate = path, run, rate
        self.batch, self.samples = sizes
        fixed = [size for size in sizes if size is not None]
        if min(fixed, default=1) < 1 or math.prod(fixed) > MOST_SAMPLES:
            batch, samples = ("any number of" if size is None else size for size in sizes)
            raise AsdRayError(
                f"{path}: it takes {batch} waves of {samples} samples at once, which no computer can; export it with "
                "dynamic or smaller sizes"
            )
        self.tunable = isinstance(run, nn.Module)
        self.longest = self.samples or LONGEST * rate
        waves = torch.rand(1, self.samples or rate, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.no_grad():
            first, second = self.encode(waves), self.encode(waves)
        if 0 in first.shape[1:]:
            raise AsdRayError(
                f"{path}: for {waves.shape[1]} samples, {waves.shape[1] / rate:g} s, it returns {list(first.shape)}, "
                "but it must return frames; export a net that hears so short a clip"
            )
        if not first.isfinite().all() or (first - second).abs().max() > LOST * first.abs().max():
            raise AsdRayError(
                f"{path}: it gives other embeddings for the same waves, or values that are not finite; call .eval() "
                "before the export"
            )
        self.layers, _, self.width = first.shape[1:]
        self._counts: dict[int, int] = {}  # samples -> frames

    def piece_frames(self, samples: int) -> int:
        if samples != (self.samples or samples):
            return 0
        if samples not in self._counts:  # a run is the only way to know
            device = next((weight.device for weight in self.parameters()), torch.device("cpu"))
            with torch.no_grad():
                self._counts[samples] = self.encode(torch.zeros(1, samples, device=device)).shape[2]
        return self._counts[samples]

    def encode(self, waves: Tensor) -> Tensor:
        if waves.shape[1] != (self.samples or waves.shape[1]):
            raise AsdRayError(
                f"{self.path}: it takes waves of {self.samples} samples, but there are {waves.shape[1]}; leave shorter "
                "clips out, or export it with a dynamic number of samples"
            )
        batch = self.batch or len(waves)
        parts = [self._run(part, batch)[: len(part)] for part in torch.split(waves, batch)]
        return torch.cat(parts)

    def _pieces(self, samples: int) -> tuple[int, int]:
        """Where the file sets the length, pieces have it, and what is left over at the end is not used."""
        if self.samples is None or samples < self.samples:
            return super()._pieces(samples)
        return samples // self.samples, self.samples

    def _run(self, waves: Tensor, batch: int) -> Tensor:
        """The embeddings of at most `batch` waves, of which a smaller number is filled up with silence."""
        full = torch.cat([waves, waves.new_zeros(batch - len(waves), waves.shape[1])])
        try:
            embeddings = self.run(full)
        except Exception as error:  # a graph may raise anything in torch or onnxruntime
            raise AsdRayError(
                f"{self.path}: it fails for {tuple(full.shape)} waves ({type(error).__name__}: {error!s:.300}); {FORM}"
            ) from error
        if isinstance(embeddings, Tensor) and embeddings.ndim == 3:
            embeddings = embeddings[:, None]
        if not isinstance(embeddings, Tensor) or embeddings.ndim != 4 or len(embeddings) != batch:
            shape = list(embeddings.shape) if isinstance(embeddings, Tensor) else type(embeddings).__name__
            raise AsdRayError(f"{self.path}: for {list(full.shape)} waves it returns {shape}; {FORM}")
        return embeddings.float()


class _Session:
    """A file of ONNX on the CPU. The embeddings go back to the device of the waves."""

    def __init__(self, path: str, content: bytes) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise AsdRayError(
                f"the encoder onnx needs a package that cannot be imported ({error}); pip install 'asd_ray[exported]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()  # a trial's threads are its CPUs
        # Weights in other files are no part of the content by which a trial names its encoder. They are not found in a
        # folder that cannot exist.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", f"{path}/none")
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        inputs, self.outputs = self.session.get_inputs(), [item.name for item in self.session.get_outputs()]
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:
            raise ValueError("it must have one input, waves of [n, samples] in float32")
        if len(self.outputs) != 1:
            raise ValueError("it must have one output, the embeddings")
        self.name = inputs[0].name
        batch, samples = (size if isinstance(size, int) else None for size in inputs[0].shape)
        self.sizes = (batch, samples)

    def __call__(self, waves: Tensor) -> Tensor:
        found = self.session.run(self.outputs, {self.name: waves.detach().cpu().numpy()})[0]
        return torch.from_numpy(found).to(waves.device)


def build(net: str, path: str) -> Encoder:
    """The encoder of a file; `net` is "onnx" or "exported"."""
    return _from_onnx(path) if net == "onnx" else _from_program(path)


def _from_onnx(path: str) -> Encoder:
    try:
        with open(path, "rb") as file:
            session = _Session(path, file.read())
        metadata = session.session.get_modelmeta().custom_metadata_map
    except AsdRayError:
        raise
    except Exception as error:  # onnxruntime has its own exceptions, which are not public
        raise AsdRayError(
            f"{path}: onnxruntime cannot run it as an encoder ({error!s:.300}); export one file, with "
            "external_data=False, of waves in and embeddings out"
        ) from error
    add = f'file.metadata_props.add(key="{RATE}", value="16000") of onnx'
    return Exported(path, session, session.sizes, _rate(path, metadata, add))


def _from_program(path: str) -> Encoder:
    try:
        program, metadata = read_program(path)
    except Exception as error:  # a file may have anything in the place of anything
        raise AsdRayError(
            f"{path}: it cannot be read as a program of torch.export ({type(error).__name__}: {error!s:.300}); save "
            "one with torch.export.save, or export to ONNX"
        ) from error
    add = f'torch.export.save(program, path, extra_files={{"{RATE}": "16000"}})'
    return Exported(path, program, program.sizes, _rate(path, metadata, add))


def _rate(path: str, metadata: dict[str, str], add: str) -> int:
    try:
        rate: Any = json.loads(metadata[RATE])
    except (KeyError, ValueError):
        rate = metadata.get(RATE)
    if not isinstance(rate, int) or rate not in RATES:
        named = "do not name" if rate is None else f"have {rate!r:.20} as"
        raise AsdRayError(f"{path}: its metadata {named} the rate of its waves in Hz; name it: {add}")
    return rate
