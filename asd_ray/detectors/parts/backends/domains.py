"""Backends that know the two domains: mixtures of both in the memory, and distances in units of each domain.

Both are parts of GenRep (arXiv 2409.05035): MemMixup and domain normalisation. Clips without a domain count as source
clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asd_ray.detectors.parts.backends._base import Learned
from asd_ray.detectors.parts.backends.distances import METRICS, Nearest, nearest
from asd_ray.detectors.parts.backends.standard import own_statistics, standardised
from asd_ray.detectors.parts.training import check_whole
from asd_ray.features._base import must_be


@dataclass(frozen=True, kw_only=True)
class MixedKnn:
    """kNN with more target clips: each is also mixed with its `neighbours` nearest source clips, as in MemMixup.

    A mixture is `weight` times the target embedding and the rest of the source embedding. Chosen here: `weight`,
    `neighbours`, and the cosine distance to find them. Without target clips, or with `weight` 1, it is plain kNN.
    """

    k: int = 1
    weight: float = 0.9
    neighbours: int = 5

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)
        check_whole(self, "neighbours", 1)
        must_be(self, "weight", 0 < self.weight <= 1, "above 0 and at most 1")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        own, source = reference[target].double(), reference[~target].double()
        if self.weight == 1 or not len(own) or not len(source):
            return {"bank": reference}
        partners = source[nearest(own, source, self.neighbours, "cosine")[1]]  # [target clips, neighbours, dimensions]
        mixtures = self.weight * own[:, None] + (1 - self.weight) * partners
        return {"bank": torch.cat([reference, mixtures.flatten(0, 1).to(reference.dtype)])}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return self.compare(learned, embeddings, nearest)

    def compare(self, learned: Learned, embeddings: Tensor, find: Nearest) -> Tensor:
        """The score, with another way to find the nearest references."""
        return find(embeddings, learned["bank"], self.k, "cosine")[0].mean(1)


@dataclass(frozen=True, kw_only=True)
class DomainKnn:
    """The distance to the nearest `k` clips of each domain, in units of that domain; the smaller one counts.

    The unit: mean and deviation of the distances of the domain's own training clips to the others of the domain. Chosen
    here: a deviation is at least a tenth of the mean, and a domain with one clip has the unit of the other domain. With
    one domain, the score is its standardised distance.
    """

    k: int = 1
    metric: str = "cosine"

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)
        must_be(self, "metric", self.metric in METRICS, "'cosine' or 'euclidean'")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        banks = {name: reference[rows] for name, rows in (("source", ~target), ("target", target)) if bool(rows.any())}
        larger = max(banks.values(), key=len)
        learned = {}
        for name, bank in banks.items():
            learned[name] = bank
            learned[f"{name}_unit"] = own_statistics(bank if len(bank) > 1 else larger, self.k, self.metric)
        return learned

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return self.compare(learned, embeddings, nearest)

    def compare(self, learned: Learned, embeddings: Tensor, find: Nearest) -> Tensor:
        """The score, with another way to find the nearest references."""
        by_domain = [
            standardised(find(embeddings, learned[name], self.k, self.metric)[0].mean(1), learned[f"{name}_unit"])
            for name in ("source", "target")
            if name in learned
        ]
        return torch.stack(by_domain).amin(0)
