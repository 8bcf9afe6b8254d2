"""New samples and labels for classifiers out of those there are: mixtures of two, and warped spectra.

Mixup: Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018. Linear combinations before and after the log, and spectral warping:
Giri et al., "Unsupervised Anomalous Sound Detection Using Self-Supervised Classification and Group Masked Autoencoder
for Density Estimation", DCASE 2020.

Left open by Giri et al., and chosen here: the warp is f' = a f² + b f along the mel axis, both from 0 to 1; beyond its
ends the picture goes on as it ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

NEPERS = math.log(10) / 10  # natural logarithm of the power of one dB


def mixing_weights(count: int, alpha: float, rng: np.random.Generator, device: torch.device | str = "cpu") -> Tensor:
    """[count] from Beta(alpha, alpha): 1 for any share alike, below 1 for mostly one of the two."""
    return torch.from_numpy(rng.beta(alpha, alpha, count).astype(np.float32)).to(device)


def mixed(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """`weights` of `first` and the rest of `second`: waves or, after the log, pictures in dB; [n, …]."""
    return torch.lerp(second, first, _beside(weights, first))


def mixed_before_log(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """As `mixed` for the powers that pictures in dB are of, in dB again."""
    share = _beside(weights, first)
    return torch.logaddexp(first * NEPERS + share.log(), second * NEPERS + torch.log1p(-share)) / NEPERS


def _beside(weights: Tensor, samples: Tensor) -> Tensor:
    return weights.view(-1, *[1] * (samples.dim() - 1))


def soft_labels(first: Tensor, second: Tensor, weights: Tensor, classes: int) -> Tensor:
    """[n, classes] that sum to 1, for mixtures of class `first`, weighing `weights`, with class `second`."""
    both = torch.stack([one_hot(first, classes), one_hot(second, classes)]).to(weights.dtype)
    return mixed(both[0], both[1], weights)


def warp_matrices(mels: int, warps: Sequence[tuple[float, float]]) -> Tensor:
    """[warps, mels, mels] for warps (a, b): row f weighs the two mels around a f² + b f; (0, 1) is no warp."""
    ab = torch.tensor(warps, dtype=torch.float64).view(-1, 2, 1)
    to = torch.arange(mels, dtype=torch.float64)
    at = (ab[:, 0] * to.square() / (mels - 1) + ab[:, 1] * to).clamp(0, mels - 1)
    return (1 - (at.unsqueeze(2) - to).abs()).clamp_min(0).float()


def warped(pictures: Tensor, matrices: Tensor, which: Tensor) -> Tensor:
    """[n, channels, mels, time], each warped by the matrix that `which`, [n], names."""
    return matrices[which].unsqueeze(1) @ pictures


def warped_labels(labels: Tensor, which: Tensor, classes: int) -> Tensor:
    """Each warp of each of `classes` is a class of its own; those of matrix 0 keep their numbers."""
    return labels + classes * which
