"""Distances in units of the references' own: how far each of them is from the nearest others."""

from __future__ import annotations

import torch
from torch import Tensor

from asd_ray.detectors.parts.backends.distances import nearest

LEAST_DEVIATION = 0.1  # of the mean distance: a few clips may be equally far apart by chance


def own_statistics(reference: Tensor, k: int, metric: str) -> Tensor:
    """[mean, deviation] of each reference's mean distance to the `k` nearest others, in float64.

    One reference has no other, and equal references no distance: they get 0 and 1, which leave a distance as it is.
    """
    plain = torch.arange(2, dtype=torch.float64, device=reference.device)
    if len(reference) < 2:
        return plain
    own = nearest(reference, reference, k, metric, itself=False)[0].mean(1)
    mean = own.mean()
    deviation = torch.maximum(own.std(correction=0), LEAST_DEVIATION * mean)
    return torch.where(mean > 0, torch.stack([mean, deviation]), plain)


def standardised(distances: Tensor, statistics: Tensor) -> Tensor:
    """Distances in deviations from the mean that `own_statistics` gave."""
    return (distances - statistics[0]) / statistics[1]
