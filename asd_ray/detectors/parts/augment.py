"""Augmentation for classifiers: mixtures of two samples with mixed labels, and warped spectra as new classes.

Mixup: Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018. Linear combinations before and after the log, and spectral warping:
Giri et al., "Unsupervised Anomalous Sound Detection Using Self-Supervised Classification and Group Masked Autoencoder
for Density Estimation", DCASE 2020.

Giri et al. leave the warp open. Here it is f' = a f² + b f along the mel axis, both from 0 to 1; beyond the ends the
edge values are repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from asd_ray.detectors.parts.transfer import to_device

NEPERS = math.log(10) / 10  # natural logarithm of the power of one dB


def mixing_weights(count: int, alpha: float, rng: np.random.Generator, device: torch.device | str = "cpu") -> Tensor:
    """[count] from Beta(alpha, alpha): uniform for 1; below 1 mostly close to 0 or 1."""
    return to_device(torch.from_numpy(rng.beta(alpha, alpha, count).astype(np.float32)), device)


def mixed(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """`weights` of `first` and the rest of `second`: waves, or spectrograms in dB (after the log); [n, …]."""
    return torch.lerp(second, first, _broadcast(weights, first))


def mixed_before_log(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """As `mixed`, but on the powers behind spectrograms in dB (before the log); the result is in dB again."""
    weight = _broadcast(weights, first)
    return torch.logaddexp(first * NEPERS + weight.log(), second * NEPERS + torch.log1p(-weight)) / NEPERS


def _broadcast(weights: Tensor, samples: Tensor) -> Tensor:
    return weights.view(-1, *[1] * (samples.dim() - 1))


def soft_labels(first: Tensor, second: Tensor, weights: Tensor, classes: int) -> Tensor:
    """[n, classes] that sum to 1: `weights` for class `first`, the rest for class `second`."""
    both = torch.stack([one_hot(first, classes), one_hot(second, classes)]).to(weights.dtype)
    return mixed(both[0], both[1], weights)


def warp_matrices(mels: int, warps: Sequence[tuple[float, float]]) -> Tensor:
    """[warps, mels, mels] for warps (a, b): row f interpolates the two mels around a f² + b f; (0, 1) is no warp."""
    coefficients = torch.tensor(warps, dtype=torch.float64).view(-1, 2, 1)
    target = torch.arange(mels, dtype=torch.float64)
    source = (coefficients[:, 0] * target.square() / (mels - 1) + coefficients[:, 1] * target).clamp(0, mels - 1)
    return (1 - (source.unsqueeze(2) - target).abs()).clamp_min(0).float()


def warped(images: Tensor, matrices: Tensor, numbers: Tensor) -> Tensor:
    """[n, channels, mels, time], each warped by the matrix with its number in `numbers`, [n]."""
    return matrices[numbers].unsqueeze(1) @ images


def warped_labels(labels: Tensor, numbers: Tensor, classes: int) -> Tensor:
    """Each warp of each of `classes` is a class of its own; with matrix 0 the labels stay the same."""
    return labels + classes * numbers


def partners(
    count: int, mix: float, alpha: float, rng: np.random.Generator, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """For each sample of a batch the position of one to mix it with, and its own weight: 1 for those not mixed.

    `mix` is the part of the samples that are mixed, in proportions from Beta(`alpha`, `alpha`).
    """
    weights = mixing_weights(count, alpha, rng, device)
    is_mixed = to_device(torch.from_numpy(rng.random(count) < mix), device)
    return to_device(torch.from_numpy(rng.permutation(count)), device), torch.where(is_mixed, weights, 1)
