"""Distances between embeddings, and the nearest of them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

BLOCK = 256  # embeddings compared with the references at once: 12 MB of distances to 6,000 clips
NOISE = 1e-12  # squared distance per squared length below which two float32 embeddings count as equal
METRICS = ("cosine", "euclidean")


class Nearest(Protocol):
    """What finds the nearest references: `nearest`, or what a graph has in its place."""

    def __call__(self, rows: Tensor, reference: Tensor, k: int, metric: str) -> tuple[Tensor, Tensor]: ...


def distances(rows: Tensor, reference: Tensor, metric: str) -> Tensor:
    """[n, d], [m, d] -> [n, m] of "cosine" (1 - cosine; 1 to an embedding of zeros) or "euclidean" distances.

    Differences below the resolution of float32 become 0.
    """
    if metric == "cosine":
        cosines = normalize(rows, eps=1e-60) @ normalize(reference, eps=1e-60).T
        return torch.threshold_(cosines.neg_().add_(1), NOISE, 0.0)
    lengths = rows.square().sum(1)[:, None] + reference.square().sum(1)
    squares = torch.addmm(lengths, rows, reference.T, alpha=-2)
    return squares.masked_fill_(squares < NOISE * lengths, 0).sqrt_()


def nearest(
    rows: Tensor, reference: Tensor, k: int, metric: str, density: Tensor | None = None, *, itself: bool = True
) -> tuple[Tensor, Tensor]:
    """Distances to the `k` nearest of `reference`, divided by its `density` if given, and their positions.

    Both are [n, k], or narrower if there are fewer references. With ``itself=False``, `rows` are the references
    themselves, and none is its own neighbour.
    """
    k, reference_rows = min(k, len(reference) - (not itself)), reference.double()
    blocks = []
    for start in range(0, max(1, len(rows)), BLOCK):
        block = distances(rows[start : start + BLOCK].double(), reference_rows, metric)
        if density is not None:
            block /= density
        if not itself:
            block.diagonal(start).fill_(torch.inf)
        blocks.append(block.topk(k, dim=1, largest=False))
    return torch.cat([block.values for block in blocks]), torch.cat([block.indices for block in blocks])
