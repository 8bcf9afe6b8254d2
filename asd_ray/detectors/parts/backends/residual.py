"""The PCA backend: how much of an embedding the leading components of the references leave out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asd_ray.detectors.parts.backends._base import Learned
from asd_ray.detectors.parts.backends.distances import NOISE
from asd_ray.features._base import must_be


@dataclass(frozen=True, kw_only=True)
class PcaResidual:
    """The length of what remains of an embedding without the components that explain `share` of the variance.

    They are the fewest components whose variances sum to more than `share` of the whole. With few clips every
    component fits a clip of its own, and an anomaly between them would have no residual. Chosen here: there are at most
    half as many components as clips beyond the first. If no two references differ, there are none, and the score is the
    distance to them.
    """

    share: float = 0.9

    def __post_init__(self) -> None:
        must_be(self, "share", 0 < self.share < 1, "above 0 and below 1")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        mean = reference.double().mean(0)
        centred = reference.double() - mean
        clips, dimensions = centred.shape
        wide = clips < dimensions  # then the products of the clips have the same eigenvalues as the smaller matrix
        values, vectors = torch.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        count = min(int((values.cumsum(0) <= self.share * values.sum()).sum()) + 1, (clips - 1) // 2)
        if count == 0 or values[0] <= NOISE * clips * mean.square().sum():
            return {"mean": mean, "axes": mean.new_zeros(dimensions, 1)}
        axes = vectors[:, :count]
        return {"mean": mean, "axes": centred.T @ axes / values[:count].sqrt() if wide else axes}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        centred = embeddings.double() - learned["mean"]
        return (centred - centred @ learned["axes"] @ learned["axes"].T).square().sum(1).sqrt()
