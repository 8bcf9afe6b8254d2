"""SMOTE: interpolated target clips among the references."""

from __future__ import annotations

import torch
from torch import Tensor

from asd_ray.detectors.parts.backends.distances import nearest


def smote(
    embeddings: Tensor, target: Tensor, ratio: float, neighbours: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The embeddings and domains with interpolated target clips appended, up to `ratio` times the source clips.

    With fewer than two target clips there is nothing to interpolate, and nothing is added.
    """
    missing = round(ratio * int((~target).sum())) - int(target.sum())
    if missing <= 0 or int(target.sum()) < 2:
        return embeddings, target
    synthetic = interpolated(embeddings[target], missing, neighbours, generator)
    return torch.cat([embeddings, synthetic]), torch.cat([target, target.new_ones(missing)])


def interpolated(rows: Tensor, count: int, neighbours: int, generator: torch.Generator) -> Tensor:
    """SMOTE: `count` rows, each at a random point between a random row and one of its nearest neighbours."""
    neighbour_positions = nearest(rows, rows, neighbours, "euclidean", itself=False)[1].cpu()
    first = torch.randint(len(rows), (count,), generator=generator)
    second = neighbour_positions[first, torch.randint(neighbour_positions.shape[1], (count,), generator=generator)]
    fractions = torch.rand(count, 1, generator=generator).to(rows)
    start = rows[first.to(rows.device)]
    return start + fractions * (rows[second.to(rows.device)] - start)
