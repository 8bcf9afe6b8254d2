"""Backends that describe the references by Gaussians: the Mahalanobis distance and mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asd_ray.detectors.parts.backends._base import Learned
from asd_ray.detectors.parts.backends.distances import NOISE
from asd_ray.detectors.parts.mixtures import fit_mixture, log_densities
from asd_ray.detectors.parts.training import check_whole
from asd_ray.features._base import must_be

WIDE = 1024  # dimensions above which a square matrix of them is avoided: 6,144 would be 300 MB in each state


@dataclass(frozen=True, kw_only=True)
class Mahalanobis:
    """The Mahalanobis distance to the mean of the references.

    Variances along the axes of the covariance are at least `floor` times the largest. With fewer clips than dimensions
    some axes have no variance: a pseudo-inverse would ignore a deviation along them, here it counts most. If no two
    references differ, the score is the plain distance to them.
    """

    floor: float = 1e-6

    def __post_init__(self) -> None:
        must_be(self, "floor", 0 < self.floor <= 1, "above 0 and at most 1")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        mean = reference.double().mean(0)
        centred = reference.double() - mean
        if WIDE < centred.shape[1] > len(centred):
            return {"mean": mean, **self._few_axes(centred, NOISE * mean.square().sum())}
        variances, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(reference) - 1))
        if variances[-1] <= NOISE * mean.square().sum():
            variances = torch.ones_like(variances)
        return {"mean": mean, "whitening": axes / variances.clamp_min(self.floor * float(variances[-1])).sqrt()}

    def _few_axes(self, centred: Tensor, noise: Tensor) -> Learned:
        """The axes with a larger variance than the least, [axes, dimensions]. All others have the variance `rest`."""
        squares, mixtures = torch.linalg.eigh(centred @ centred.T)  # of the clips: the same variances
        variances = squares / max(1, len(centred) - 1)
        if variances[-1] <= noise:
            return {"axes": centred[:0], "variances": variances[:0], "rest": torch.ones_like(noise)}
        rest = self.floor * variances[-1]
        kept = variances > rest
        axes = mixtures[:, kept].T @ centred / squares[kept].sqrt()[:, None]
        return {"axes": axes, "variances": variances[kept], "rest": rest}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        centred = embeddings.double() - learned["mean"]
        if "whitening" in learned:
            return (centred @ learned["whitening"]).square().sum(1).sqrt()
        along = centred @ learned["axes"].T
        beside = (centred - along @ learned["axes"]).square().sum(1)
        return ((along.square() / learned["variances"]).sum(1) + beside / learned["rest"]).sqrt()


@dataclass(frozen=True, kw_only=True)
class Gmm:
    """Minus the log-likelihood under a mixture of `components` Gaussians, with "full" or "diag" covariances.

    `reg` is added to every variance, relative to the mean variance of the references, so that it means the same in
    every embedding.
    """

    components: int = 2
    covariance: str = "full"
    reg: float = 1e-3

    def __post_init__(self) -> None:
        check_whole(self, "components", 1)
        must_be(self, "covariance", self.covariance in ("full", "diag"), "'full' or 'diag'")
        must_be(self, "reg", 0 < self.reg < math.inf, "above 0")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        mean = reference.double().mean(0)
        scale = (reference.double() - mean).square().mean().sqrt()
        scale = torch.where(scale**2 > NOISE * mean.square().mean(), scale, 1.0)
        rows = (reference.double() - mean) / scale
        return {
            "mean": mean,
            "scale": scale,
            **fit_mixture(rows, self.components, self.covariance, self.reg, 1e-3, seed),
        }

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        rows = (embeddings.double() - learned["mean"]) / learned["scale"]
        densities = log_densities(rows, learned["means"], learned["factors"]) + learned["weights"].log()
        return rows.shape[1] * learned["scale"].log() - densities.logsumexp(1)
