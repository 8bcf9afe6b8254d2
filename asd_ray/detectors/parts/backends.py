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

References may be one clip, or identical clips: neighbours and components are limited to what there is, a covariance
gets a floor, and every score is finite. All is computed in float64, because distances in a trained embedding are small
differences of large numbers. scikit-learn fits the mixtures and the centres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import State
from asd_ray.detectors.parts.mixtures import fit_mixture, log_densities
from asd_ray.detectors.parts.training import check_whole
from asd_ray.errors import AsdRayError, unknown
from asd_ray.features._base import must_be

Learned = dict[str, Tensor]

BLOCK = 256  # embeddings compared with the references at once: 12 MB of distances to 6,000 clips
NOISE = 1e-12  # squared distance per squared length below which two float32 embeddings count as equal
TINY = 1e-10  # added to a distance or density before division, as scikit-learn does


class Backend(Protocol):
    """What a backend offers. It must accept a single reference clip."""

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        """`reference`, [clips, dimensions], is of normal clips, at least one; `target` marks the target domain."""
        ...

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        """One finite float64 per embedding; it does not depend on the other embeddings of the call."""
        ...


@dataclass(frozen=True, kw_only=True)
class Knn:
    """The mean distance to the `k` nearest reference clips.

    With `normalised`, each distance is first divided by the mean distance of that reference clip to its own `density_k`
    nearest, and the k smallest ratios count. If no two references differ, the distances are not divided. ASDKit's
    KnnRescale uses "euclidean" with embeddings of length 1 for this.
    """

    k: int = 1
    metric: str = "cosine"
    normalised: bool = False
    density_k: int = 4

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)
        check_whole(self, "density_k", 1)
        must_be(self, "metric", self.metric in ("cosine", "euclidean"), "'cosine' or 'euclidean'")

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        if not self.normalised:
            return {"bank": reference}
        density = nearest(reference, reference, self.density_k, self.metric, itself=False)[0].sum(1)
        density /= max(1, min(self.density_k, len(reference) - 1))
        spread = bool((density > TINY).any())
        return {"bank": reference, "density": density.clamp_min(TINY) if spread else torch.ones_like(density)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return nearest(embeddings, learned["bank"], self.k, self.metric, learned.get("density"))[0].mean(1)


@dataclass(frozen=True, kw_only=True)
class Lof:
    """Local outlier factor with the cosine distance, as LocalOutlierFactor(novelty=True) of scikit-learn."""

    k: int = 4

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        if len(reference) == 1:  # it has no neighbours: reach 0 and the largest density
            zero = reference.new_zeros(1, dtype=torch.float64)
            return {"bank": reference, "reach": zero, "density": zero + 1 / TINY}
        distances, positions = nearest(reference, reference, self.k, "cosine", itself=False)
        reach = distances[:, -1]  # distance to the k-th neighbour
        return {"bank": reference, "reach": reach, "density": self._density(distances, reach[positions])}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        reference = learned["bank"]
        distances, positions = nearest(embeddings, reference, min(self.k, max(1, len(reference) - 1)), "cosine")
        density = self._density(distances, learned["reach"][positions])
        return learned["density"][positions].mean(1) / density

    @staticmethod
    def _density(distances: Tensor, reach: Tensor) -> Tensor:
        return 1 / (torch.maximum(distances, reach).mean(1) + TINY)


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
        variances, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(reference) - 1))
        if variances[-1] <= NOISE * mean.square().sum():
            variances = torch.ones_like(variances)
        return {"mean": mean, "whitening": axes / variances.clamp_min(self.floor * float(variances[-1])).sqrt()}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return ((embeddings.double() - learned["mean"]) @ learned["whitening"]).square().sum(1).sqrt()


@dataclass(frozen=True, kw_only=True)
class MeanCosine:
    """1 - cosine to the mean of the references."""

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        return {"mean": reference.double().mean(0, keepdim=True)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return distances(embeddings.double(), learned["mean"], "cosine")[:, 0]


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


@dataclass(frozen=True, kw_only=True)
class KMeansTarget:
    """The cosine distance to the nearest of `clusters` k-means centres of source clips and of all target clips.

    There are too few target clips for centres, so each is its own centre. Clips without a domain count as source clips.
    """

    clusters: int = 16

    def __post_init__(self) -> None:
        check_whole(self, "clusters", 1)

    def learn(self, reference: Tensor, target: Tensor, seed: int) -> Learned:
        rows = normalize(reference.double(), eps=1e-60)
        from sklearn.cluster import KMeans  # slow to import, and scoring does not need it

        source = rows[~target].cpu().numpy()
        centres = [rows[target]]
        if len(source):
            clusters = min(self.clusters, len(np.unique(source, axis=0)))
            source_centres = KMeans(clusters, n_init=1, random_state=seed % 2**32).fit(source).cluster_centers_
            centres.append(torch.from_numpy(source_centres).to(rows))
        return {"bank": torch.cat(centres)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return nearest(embeddings, learned["bank"], 1, "cosine")[0][:, 0]


BACKENDS: Mapping[str, Backend] = {
    "knn": Knn(),
    "knn_ldn": Knn(normalised=True),
    "lof": Lof(),
    "maha": Mahalanobis(),
    "cos": MeanCosine(),
    "gmm": Gmm(),
    "kmeans": KMeansTarget(),
}


def parse_backends(names: str) -> dict[str, Backend]:
    """``"knn, lof"`` -> those two of `BACKENDS`: several backends as one parameter of a family."""
    requested = [name.strip() for name in names.split(",")]
    for name in requested:
        if name not in BACKENDS:
            raise unknown("backend", name, BACKENDS)
    return {name: BACKENDS[name] for name in requested}


class Backends:
    """Several backends at once, each fitted separately to the clips of every id.

    A clip of an id that was not in training is scored with the backends of every id, and the lowest score counts: it is
    as normal as the known machine that it resembles most. With `smote_ratio` above 0, interpolated target clips are
    added to the references of each id; see `smote`. Fitting uses `seed` and no shared random stream, so a family may
    fit again after every epoch.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend] = BACKENDS,
        *,
        seed: int = 0,
        smote_ratio: float = 0.0,
        smote_neighbours: int = 3,
    ) -> None:
        self.backends, self.seed = dict(backends), seed
        self.smote_ratio, self.smote_neighbours = smote_ratio, smote_neighbours
        must_be(self, "smote_ratio", 0 <= smote_ratio <= 1, "in [0, 1]")
        check_whole(self, "smote_neighbours", 1)
        self._learned: dict[str, dict[str, Learned]] = {}  # id -> backend -> what it learned

    def fit(self, embeddings: Tensor, ids: Sequence[str], target: Tensor) -> None:
        """`embeddings` [clips, dimensions] of normal clips, the id of each, and whether it is of the target domain."""
        if len(embeddings) == 0:
            raise AsdRayError("backends learn from clips but got none; check the training split of this machine")
        embeddings = _finite(embeddings)
        learned = {}
        for id, positions in _positions(ids, embeddings.device).items():
            # The same seed for every id, so that the result of an id does not depend on the other ids.
            generator, is_target = torch.Generator().manual_seed(self.seed), target.to(positions.device)[positions]
            reference, is_target = smote(
                embeddings[positions], is_target, self.smote_ratio, self.smote_neighbours, generator
            )
            learned[id] = {
                name: backend.learn(reference, is_target, self.seed) for name, backend in self.backends.items()
            }
        self._learned = learned

    def score(self, embeddings: Tensor, ids: Sequence[str]) -> dict[str, Tensor]:
        """Name of the backend -> one float64 per clip."""
        if not self._learned:
            raise AsdRayError("score of the backends was called before fit; call fit or load first")
        embeddings = _finite(embeddings)
        scores = {name: embeddings.new_empty(len(embeddings), dtype=torch.float64) for name in self.backends}
        for id, positions in _positions(ids, embeddings.device).items():
            fitted = [self._learned[id]] if id in self._learned else list(self._learned.values())
            for name, backend in self.backends.items():
                per_id = [
                    backend.score(_to_device(learned_by_name[name], positions.device), embeddings[positions])
                    for learned_by_name in fitted
                ]
                scores[name][positions] = torch.stack(per_id).amin(0)
        return scores

    def state(self) -> State:
        return {
            id: {name: _to_device(tensors, torch.device("cpu")) for name, tensors in learned.items()}
            for id, learned in self._learned.items()
        }

    def load(self, state: State) -> None:
        self._learned = dict(state)


def ids_of(clips: ClipSet) -> list[str]:
    """Machine and id of each clip as one text, the form that `Backends` takes."""
    return [f"{machine} {id}" for machine, id in zip(clips.frame["machine"], clips.frame["id"], strict=True)]


def targets_of(clips: ClipSet) -> Tensor:
    """[clips]: whether each clip is of the target domain."""
    return torch.from_numpy(clips.frame["domain"].to_numpy(str) == "target")


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


def _positions(ids: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """Id -> positions of its clips."""
    names, numbers = np.unique(np.asarray(ids, dtype=str), return_inverse=True)
    return {str(name): torch.from_numpy(np.flatnonzero(numbers == i)).to(device) for i, name in enumerate(names)}


def _finite(embeddings: Tensor) -> Tensor:
    if not bool(embeddings.isfinite().all()):
        raise AsdRayError("embeddings must be finite, but some are not: the net diverged; lower lr")
    return embeddings.detach()


def _to_device(learned: Learned, device: torch.device) -> Learned:
    return {name: value.detach().to(device) for name, value in learned.items()}
