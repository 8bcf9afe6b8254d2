"""Backends that compare an embedding with its nearest references: kNN and LOF."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asd_ray.detectors.parts.backends._base import TINY, Learned
from asd_ray.detectors.parts.backends.distances import METRICS, nearest
from asd_ray.detectors.parts.training import check_whole
from asd_ray.features._base import must_be


@dataclass(frozen=True, kw_only=True)
class Knn:
    """The mean distance to the `k` nearest reference clips.

    With `normalised`, each distance is first divided by the mean distance of that reference clip to its own `density_k`
    nearest, and the k smallest ratios count. If no two references differ, the distances are not divided. ASDKit's
    KnnRescale uses "euclidean" with embeddings of length 1 for this.
    """

    k: int = 1
    metric: str = "cosine"
    normalised: bool = False
    density_k: int = 4

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)
        check_whole(self, "density_k", 1)
        must_be(self, "metric", self.metric in METRICS, "'cosine' or 'euclidean'")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        if not self.normalised:
            return {"bank": reference}
        density = nearest(reference, reference, self.density_k, self.metric, itself=False)[0].sum(1)
        density /= max(1, min(self.density_k, len(reference) - 1))
        spread = bool((density > TINY).any())
        return {"bank": reference, "density": density.clamp_min(TINY) if spread else torch.ones_like(density)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return nearest(embeddings, learned["bank"], self.k, self.metric, learned.get("density"))[0].mean(1)


@dataclass(frozen=True, kw_only=True)
class Lof:
    """Local outlier factor with the cosine distance, as LocalOutlierFactor(novelty=True) of scikit-learn."""

    k: int = 4

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        if len(reference) == 1:  # it has no neighbours: reach 0 and the largest density
            zero = reference.new_zeros(1, dtype=torch.float64)
            return {"bank": reference, "reach": zero, "density": zero + 1 / TINY}
        distances, positions = nearest(reference, reference, self.k, "cosine", itself=False)
        reach = distances[:, -1]  # distance to the k-th neighbour
        return {"bank": reference, "reach": reach, "density": self._density(distances, reach[positions])}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        reference = learned["bank"]
        distances, positions = nearest(embeddings, reference, min(self.k, max(1, len(reference) - 1)), "cosine")
        density = self._density(distances, learned["reach"][positions])
        return learned["density"][positions].mean(1) / density

    @staticmethod
    def _density(distances: Tensor, reach: Tensor) -> Tensor:
        return 1 / (torch.maximum(distances, reach).mean(1) + TINY)
