"""The front end whose features are embeddings: what a pretrained encoder hears in each second of a clip.

Embeddings of all layers are computed together, because the net is what takes the time, and are stored in the node's
feature cache: a search over layers, poolings and backends runs the net once per clip. Frames of the net are averaged
over segments of time. A band of frequencies of a net of patches has an average of its own, up to `bands` of them.

Sizes: segments x layers x bands x width numbers per clip. AST-base and BEATs (12 layers, 768 wide), 10 s in segments of
one second, 4 bands, float16: 0.74 MB per clip, 0.9 GB for 1,200 clips. Nets without bands, such as HuBERT-base: 0.18 MB
per clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.loading import load_encoder
from asd_ray.detectors.parts.resampled import resampled
from asd_ray.errors import AsdRayError
from asd_ray.features import FrontEnd
from asd_ray.features._base import must_be
from asd_ray.features.encoder_sizes import Sizes, noted_sizes

CLIPS = 16  # encoded at once: 0.7 GB of the layers of AST-base at 10 s
SHORTEST = 0.25  # seconds: the nets of patches need about this much


@dataclass(frozen=True, kw_only=True)
class Embedded(FrontEnd):
    """Segments of a clip, each [layers, bands, width]: means over the segment's frames.

    `pretrained` names the encoder by its content, and the hash of the front end has it. `path` is where the file is
    here, and `notes` the folder where the node's cache notes sizes of encoders (`features/encoder_sizes.py`): they are
    no part of the hash, nor of `to_dict`; without `path` the file is looked for in $ASD_RAY_WEIGHTS. A clip has one
    segment per `segment` seconds, rounded, at least one. A process keeps the last encoder in memory.
    """

    KIND: ClassVar[str] = "embedded"

    pretrained: str = ""
    segment: float = 1.0  # seconds
    most_bands: int = 4
    path: str = field(default="", compare=False, repr=False)
    notes: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "segment", self.segment >= SHORTEST, f"{SHORTEST} seconds or more")
        must_be(self, "most_bands", self.most_bands >= 1, "a whole number from 1")

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict().items() if name not in ("path", "notes")}

    def frames(self, samples: int) -> int:
        seconds = self.used_samples(samples) / self.rate
        return max(1, round(seconds / self.segment)) if seconds >= SHORTEST else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Layers, bands, width."""
        layers, bands, width = _sizes(self.pretrained, self.path, self.notes)
        return layers, min(self.most_bands, bands), width

    def encoder(self, device: str) -> Encoder:
        return _encoder(self.pretrained, self.path, device)

    def transform(self, waves: Tensor) -> Tensor:
        encoder, segments = self.encoder(str(waves.device)), self.frames(waves.shape[1])
        waves = resampled(waves, self.rate, encoder.rate)
        if segments and not encoder.frames(waves.shape[1]):
            raise AsdRayError(
                f"{self.path or self.pretrained}: clips of {waves.shape[1] / encoder.rate:g} s have no frames of this "
                "encoder, but each needs one; take longer clips, or another encoder"
            )
        return torch.cat([self._segments(encoder(part), encoder.bands, segments) for part in torch.split(waves, CLIPS)])

    def _segments(self, embeddings: Tensor, bands: int, segments: int) -> Tensor:
        """[n, layers, frames, width] -> [n, segments, layers, bands, width]."""
        count, layers, _, width = embeddings.shape
        steps = embeddings.reshape(count, layers, -1, bands, width)
        by_band = _means(steps.transpose(1, 2), segments)
        return _means(by_band.movedim(3, 1), min(self.most_bands, bands)).movedim(1, 3)


def _means(values: Tensor, parts: int) -> Tensor:
    """Means over `parts` equal parts of dimension 1; of fewer values, some count for several parts."""
    count = values.shape[1]
    edges = [(part * count // parts, -(-(part + 1) * count // parts)) for part in range(parts)]
    return torch.stack([values[:, first:last].mean(1) for first, last in edges], 1)


def check_encoder(pretrained: str, path: str, notes: str) -> None:
    """Raise if the encoder cannot be loaded. One with a note in `notes` was loaded before. None is kept."""

    def load() -> Sizes:
        return _sizes_of(load_encoder(pretrained, {pretrained.partition(":")[0]: path}))

    noted_sizes(pretrained, notes, load)


def _sizes_of(encoder: Encoder) -> Sizes:
    return encoder.layers, encoder.bands, encoder.width


@lru_cache(maxsize=1)
def _encoder(pretrained: str, path: str, device: str) -> Encoder:
    net = pretrained.partition(":")[0]
    return load_encoder(pretrained, {net: path} if path else {}).to(device)


@lru_cache(maxsize=64)
def _sizes(pretrained: str, path: str, notes: str) -> Sizes:
    """They are kept, because they are asked for with each batch, also beside a GPU's encoder, and for each entry of the
    cache: the encoder itself is then not loaded again."""

    return noted_sizes(pretrained, notes, lambda: _sizes_of(_encoder(pretrained, path, "cpu")))
