"""A pretrained encoder that is trained further, with the pooling of its frames to one embedding per clip.

Attentive statistics: Okabe, Koshinaka, Shinoda, "Attentive Statistics Pooling for Deep Speaker Embedding", Interspeech
2018. A small net weights the frames; mean and deviation under these weights are the embedding.

Chosen here: the encoder stays in eval mode while it is trained. Dropout and masks inside such nets draw from other
random streams than the trial's, so that its seed would not decide its result.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.parts.lora import adapt
from asd_ray.detectors.parts.resampled import resampled
from asd_ray.errors import AsdRayError

TUNES = ("lora", "all", "head")  # what of the encoder is trained: low-rank layers, everything, nothing
POOLINGS = ("mean", "attentive")
ATTENTION = 128  # units of the net that weights the frames
SMALLEST_VARIANCE = 1e-6


class TunedEncoder(nn.Module):
    """[n, samples] -> [n, width]: the pooled frames of one layer of the encoder; `layer` 0 is the first, 1 the last.

    Its state has what training changes: low-rank layers and pooling, or with tune="all" the whole encoder. Frozen
    weights are not part of it. With a `projection` above 0 a linear layer to so many dimensions follows. The waves have
    `rate` Hz.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        rate: int,
        tune: str,
        rank: int = 0,
        lora_alpha: float = 1.0,
        places: str = "attention",
        layer: float = 1.0,
        pooling: str = "mean",
        projection: int = 0,
    ) -> None:
        super().__init__()
        if tune != "head" and not encoder.tunable:
            raise AsdRayError(
                f"the weights of {type(encoder).__name__} cannot be trained, as it is a finished graph; set tune to "
                "'head', or bring an encoder with weights"
            )
        self.encoder_alone = (encoder.eval(),)  # in a tuple, so that its frozen weights are not part of the state
        self.changed: nn.Module = encoder.requires_grad_(tune == "all")
        if tune != "all":
            self.changed = adapt(encoder, rank if tune == "lora" else 0, lora_alpha, places)
        self.rate, self.layer = rate, round(layer * (encoder.layers - 1))
        self.pooling = AttentiveStatistics(encoder.width) if pooling == "attentive" else MeanOfFrames()
        self.width = encoder.width * (2 if pooling == "attentive" else 1)
        self.projection = nn.Linear(self.width, projection) if projection else None
        self.width = projection or self.width

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.encoder_alone[0].eval()
        return self

    def forward(self, waves: Tensor) -> Tensor:
        encoder = self.encoder_alone[0]
        frames = encoder.layer(resampled(waves, self.rate, encoder.rate), self.layer)
        embedding: Tensor = self.pooling(frames)
        return embedding if self.projection is None else self.projection(embedding)


class MeanOfFrames(nn.Module):
    """[n, frames, width] -> [n, width]."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames.float().mean(1)


class AttentiveStatistics(nn.Module):
    """[n, frames, width] -> [n, 2 · width]: mean and deviation of the frames, weighted by a small net."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(width, ATTENTION), nn.Tanh(), nn.Linear(ATTENTION, 1))

    def forward(self, frames: Tensor) -> Tensor:
        weights = self.weigh(frames).float().softmax(1)
        frames = frames.float()
        mean = (weights * frames).sum(1)
        variance = (weights * (frames - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp_min(SMALLEST_VARIANCE).sqrt()], 1)
