"""Backends: anomaly scores from the distance between a clip's embedding and those of normal clips of the same id.

A backend is a frozen set of settings with two methods. `learn` turns reference embeddings, [clips, dimensions], into a
dictionary of tensors, and `score` compares embeddings with it; higher is more anomalous. The dictionary is also the
state. Families use `Backends`: several backends, each fitted separately for every id.

    knn      cosine distance to the nearest k reference clips, averaged
    knn_ldn  knn with each distance divided by how far apart the references lie there: local density normalisation,
             Wilkinghoff et al. 2025
    lof      local outlier factor, Breunig et al. 2000
    maha     Mahalanobis distance to the references
    cos      1 - cosine to the mean of the references
    gmm      minus the log-likelihood under a Gaussian mixture
    kmeans   cosine distance to the nearest of the k-means centres of source clips and all target clips
    pca      length of what the leading principal components of the references leave out
    knn_mix  knn with mixtures of target and source clips among the references: MemMixup, GenRep 2024
    knn_dn   knn in each domain, in units of its own distances; the smaller counts: domain normalisation, GenRep 2024
    bands    knn in four parts of the embedding, each in units of its own distances; the mean: after BEAM 2026
    knn_exit knn with a K chosen from the training clips: neighbours before one of another cluster

References may be one clip, or identical clips: neighbours and components are limited to what there is, a covariance
gets a floor, and every score is finite. All is computed in float64, because distances in a trained embedding are small
differences of large numbers. scikit-learn fits the mixtures and the centres.
"""

from __future__ import annotations

from asd_ray.detectors.parts.backends._base import Backend, Learned
from asd_ray.detectors.parts.backends.bands import BandKnn
from asd_ray.detectors.parts.backends.by_id import Backends, ids_of, targets_of
from asd_ray.detectors.parts.backends.centres import KMeansTarget, MeanCosine
from asd_ray.detectors.parts.backends.cluster_exit import ExitKnn
from asd_ray.detectors.parts.backends.distances import distances, nearest
from asd_ray.detectors.parts.backends.domains import DomainKnn, MixedKnn
from asd_ray.detectors.parts.backends.gaussians import Gmm, Mahalanobis
from asd_ray.detectors.parts.backends.neighbours import Knn, Lof
from asd_ray.detectors.parts.backends.residual import PcaResidual
from asd_ray.detectors.parts.backends.smote import interpolated, smote
from asd_ray.detectors.parts.backends.table import BACKENDS, parse_backends

__all__ = [
    "BACKENDS",
    "Backend",
    "Backends",
    "BandKnn",
    "DomainKnn",
    "ExitKnn",
    "Gmm",
    "KMeansTarget",
    "Knn",
    "Learned",
    "Lof",
    "Mahalanobis",
    "MeanCosine",
    "MixedKnn",
    "PcaResidual",
    "distances",
    "ids_of",
    "interpolated",
    "nearest",
    "parse_backends",
    "smote",
    "targets_of",
]
