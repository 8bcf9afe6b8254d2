"""Backends and mixtures of embeddings with what they learned as constants of the graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_ray.detectors.parts.backends import (
    Backend,
    Backends,
    BandKnn,
    DomainKnn,
    ExitKnn,
    KMeansTarget,
    Knn,
    Learned,
    Lof,
    MixedKnn,
    distances,
)


class LearnedBackend(nn.Module):
    """[n, dimensions] -> [n] float64: one backend, fitted to the clips of one id."""

    def __init__(self, backend: Backend, learned: Learned) -> None:
        super().__init__()
        if isinstance(backend, ExitKnn):  # a graph has one K
            backend, learned = backend.knn(learned), {"bank": learned["bank"]}
        self.backend = backend
        for name, tensor in learned.items():
            self.register_buffer(name, tensor.cpu().clone())

    def forward(self, embeddings: Tensor) -> Tensor:
        backend, learned = self.backend, dict(self.named_buffers())
        if isinstance(backend, Knn):
            return _nearest(embeddings, learned["bank"], backend.k, backend.metric, learned.get("density"))[0].mean(1)
        if isinstance(backend, MixedKnn | DomainKnn | BandKnn):
            return backend.compare(learned, embeddings, _nearest)
        if isinstance(backend, KMeansTarget):
            return _nearest(embeddings, learned["bank"], 1, "cosine")[0][:, 0]
        if isinstance(backend, Lof):
            neighbours = min(backend.k, max(1, len(learned["bank"]) - 1))
            near, positions = _nearest(embeddings, learned["bank"], neighbours, "cosine")
            density = backend._density(near, learned["reach"][positions])
            return learned["density"][positions].mean(1) / density
        return backend.score(learned, embeddings)


class BackendsById(nn.Module):
    """[n, dimensions] -> name of the backend -> [n, ids] float64; `ids` are keys of the state of `Backends`."""

    def __init__(self, backends: Backends, ids: Sequence[str]) -> None:
        super().__init__()
        learned = backends.state()  # empty if there are no backends
        self.by_name = nn.ModuleDict(
            {
                name: nn.ModuleList([LearnedBackend(backend, learned[id][name]) for id in ids])
                for name, backend in backends.backends.items()
            }
        )

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        return {
            name: torch.stack([fitted(embeddings) for fitted in by_id], 1)  # type: ignore[attr-defined]
            for name, by_id in self.by_name.items()
        }


def _nearest(
    rows: Tensor, reference: Tensor, k: int, metric: str, density: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """As `nearest` of the backends, without its blocks: a graph has no loop over the clips of a batch."""
    apart = distances(rows.double(), reference.double(), metric)
    if density is not None:
        apart = apart / density
    values, positions = apart.topk(min(k, len(reference)), dim=1, largest=False)
    return values, positions
