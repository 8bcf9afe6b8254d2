"""The backends by name."""

from __future__ import annotations

from collections.abc import Mapping

from asd_ray.detectors.parts.backends._base import Backend
from asd_ray.detectors.parts.backends.bands import BandKnn
from asd_ray.detectors.parts.backends.centres import KMeansTarget, MeanCosine
from asd_ray.detectors.parts.backends.cluster_exit import ExitKnn
from asd_ray.detectors.parts.backends.domains import DomainKnn, MixedKnn
from asd_ray.detectors.parts.backends.gaussians import Gmm, Mahalanobis
from asd_ray.detectors.parts.backends.neighbours import Knn, Lof
from asd_ray.detectors.parts.backends.residual import PcaResidual
from asd_ray.errors import unknown

BACKENDS: Mapping[str, Backend] = {
    "knn": Knn(),
    "knn_ldn": Knn(normalised=True),
    "lof": Lof(),
    "maha": Mahalanobis(),
    "cos": MeanCosine(),
    "gmm": Gmm(),
    "kmeans": KMeansTarget(),
    "pca": PcaResidual(),
    "knn_mix": MixedKnn(),
    "knn_dn": DomainKnn(),
    "bands": BandKnn(),
    "knn_exit": ExitKnn(),
}


def parse_backends(names: str) -> dict[str, Backend]:
    """``"knn, lof"`` -> those two of `BACKENDS`: several backends as one parameter of a family."""
    requested = [name.strip() for name in names.split(",")]
    for name in requested:
        if name not in BACKENDS:
            raise unknown("backend", name, BACKENDS)
    return {name: BACKENDS[name] for name in requested}
