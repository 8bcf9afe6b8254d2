"""Gaussian mixtures: scikit-learn fits them, torch computes their densities on any device."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from asd_ray.errors import AsdRayError


def fit_mixture(rows: Tensor, components: int, covariance: str, reg: float, tol: float, seed: int) -> dict[str, Tensor]:
    """A fitted Gaussian mixture: `weights`, `means` and `factors`, with at most as many components as different rows.

    `factors` are the upper Cholesky factors of the precisions, or their square roots if `covariance` is "diag".
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture  # slow to import, and scoring does not need it

    data = rows.double().cpu().numpy()
    components, seed = min(components, len(np.unique(data, axis=0))), seed % 2**32
    model = GaussianMixture(components, covariance_type=covariance, tol=tol, reg_covar=reg, random_state=seed)
    if len(data) == 1:  # scikit-learn needs two rows
        data = np.repeat(data, 2, axis=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its 100 iterations are enough
            model.fit(data)
    except ValueError as error:
        raise AsdRayError(f"the Gaussian mixture cannot be fitted: {error}; raise reg, which is {reg:g}") from error
    arrays = {"weights": model.weights_, "means": model.means_, "factors": model.precisions_cholesky_}
    return {name: torch.from_numpy(value).to(rows.device) for name, value in arrays.items()}


def log_densities(rows: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """[n, d] -> [n, components]: the log density of each Gaussian of `fit_mixture`, without its weight."""
    full = factors.ndim == 3
    columns = []
    for mean, factor in zip(means, factors, strict=True):
        whitened = (rows - mean) @ factor if full else (rows - mean) * factor
        half_log_determinant = (factor.diagonal() if full else factor).log().sum()
        columns.append(half_log_determinant - 0.5 * whitened.square().sum(1))
    return torch.stack(columns, 1) - 0.5 * rows.shape[1] * math.log(2 * math.pi)
