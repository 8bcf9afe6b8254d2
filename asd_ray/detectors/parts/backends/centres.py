"""Backends that compare an embedding with centres of the references: their mean, or k-means centres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from asd_ray.detectors.parts.backends._base import Learned
from asd_ray.detectors.parts.backends.distances import distances, nearest
from asd_ray.detectors.parts.training import check_whole


@dataclass(frozen=True, kw_only=True)
class MeanCosine:
    """1 - cosine to the mean of the references."""

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        return {"mean": reference.double().mean(0, keepdim=True)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return distances(embeddings.double(), learned["mean"], "cosine")[:, 0]


@dataclass(frozen=True, kw_only=True)
class KMeansTarget:
    """The cosine distance to the nearest of `clusters` k-means centres of source clips and of all target clips.

    There are too few target clips for centres, so each is its own centre. Clips without a domain count as source clips.
    """

    clusters: int = 16

    def __post_init__(self) -> None:
        check_whole(self, "clusters", 1)

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        rows = normalize(reference.double(), eps=1e-60)
        from sklearn.cluster import KMeans  # slow to import, and scoring does not need it

        source = rows[~target].cpu().numpy()
        centres = [rows[target]]
        if len(source):
            clusters = min(self.clusters, len(np.unique(source, axis=0)))
            source_centres = KMeans(clusters, n_init=1, random_state=seed % 2**32).fit(source).cluster_centers_
            centres.append(torch.from_numpy(source_centres).to(rows))
        return {"bank": torch.cat(centres)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return nearest(embeddings, learned["bank"], 1, "cosine")[0][:, 0]
