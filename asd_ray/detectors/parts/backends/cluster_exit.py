"""The kNN backend that chooses its own K from the training clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from asd_ray.detectors.parts.backends._base import Learned
from asd_ray.detectors.parts.backends.distances import nearest
from asd_ray.detectors.parts.backends.neighbours import Knn
from asd_ray.detectors.parts.training import check_whole


@dataclass(frozen=True, kw_only=True)
class ExitKnn:
    """kNN whose K is the number of neighbours that a clip has before one of another cluster, after arXiv 2602.18777.

    Only the idea of that work is used: K grows until the neighbourhood leaves its cluster. Chosen here: the clusters
    are `clusters` of k-means on embeddings of length 1, domains do not count, and K is the median over the training
    clips, from 1 to `most`.
    """

    clusters: int = 16
    most: int = 32

    def __post_init__(self) -> None:
        check_whole(self, "clusters", 1)
        check_whole(self, "most", 1)

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        return {"bank": reference, "k": torch.tensor(self._chosen(reference, seed))}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return self.knn(learned).score(learned, embeddings)

    @staticmethod
    def knn(learned: Learned) -> Knn:
        """The backend with the chosen K; its bank is in `learned`, too."""
        return Knn(k=int(learned["k"]))

    def _chosen(self, reference: Tensor, seed: int) -> int:
        if len(reference) == 1:
            return 1
        from sklearn.cluster import KMeans  # slow to import, and scoring does not need it

        rows = normalize(reference.double(), eps=1e-60).cpu().numpy()
        clusters = min(self.clusters, len(np.unique(rows, axis=0)))
        labels = torch.from_numpy(KMeans(clusters, n_init=1, random_state=seed % 2**32).fit(rows).labels_)
        neighbours = nearest(reference, reference, self.most, "cosine", itself=False)[1].cpu()
        stays = labels[neighbours] == labels[:, None]
        before_exit = stays.long().cumprod(1).sum(1)
        return max(1, int(before_exit.median()))
