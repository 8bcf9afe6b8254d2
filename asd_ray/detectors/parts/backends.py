"""Scores of embeddings: how far a clip's embedding lies from those of the normal clips of its machine and id.

A backend is a frozen bundle of settings with two verbs: `learn` makes a dictionary of tensors of a bank, [clips,
dimensions], and `score` compares embeddings with it, higher is more anomalous. What is learned is therefore also the
state. `Backends` is what a family uses: several backends, each learned once an id.

    knn      cosine distance to the nearest k clips of the bank, averaged
    knn_ldn  that, divided by how far apart the bank lies there: local density normalisation, Wilkinghoff et al. 2025
    lof      local outlier factor, Breunig et al. 2000
    maha     Mahalanobis distance to the bank
    cos      1 - cosine to the bank's mean
    gmm      minus the log-likelihood under a Gaussian mixture
    kmeans   cosine distance to the nearest of the source clips' k-means centres and all target clips

Banks may be of one clip, or of equal clips: neighbours and components are as many as there are, a covariance gets a
floor, and every score is finite. All is computed in float64, for distances in a trained embedding are small
differences of large numbers; scikit-learn learns the mixtures and the centres.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.nn.functional import normalize

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import State
from asd_ray.detectors.parts.training import check_whole
from asd_ray.errors import AsdRayError, unknown
from asd_ray.features._base import must_be

Learned = dict[str, Tensor]

BLOCK = 256  # embeddings compared with a bank at once: 12 MB of distances to 6,000 clips
NOISE = 1e-12  # squared distance, in units of squared length, below which two float32 embeddings count as equal
TINY = 1e-10  # added to a distance or density before dividing by it, as scikit-learn does


class Backend(Protocol):
    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        """`bank` is [clips, dimensions] of normal clips, at least one; `target` says which are of the target domain."""
        ...

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        """One float64 an embedding, finite, and the same whichever others are scored with it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Knn:
    """The mean distance to the `k` nearest clips of the bank.

    With `normalised` each distance is first divided by the mean distance of that clip of the bank to its own
    `density_k` nearest; the k smallest ratios count. Where the bank has no distances, one clip or all equal, they
    are left as they are. ASDKit's KnnRescale takes "euclidean" of embeddings of length 1 for this.
    """

    k: int = 1
    metric: str = "cosine"
    normalised: bool = False
    density_k: int = 4

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)
        check_whole(self, "density_k", 1)
        must_be(self, "metric", self.metric in ("cosine", "euclidean"), "'cosine' or 'euclidean'")

    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        if not self.normalised:
            return {"bank": bank}
        density = nearest(bank, bank, self.density_k, self.metric, itself=False)[0].sum(1)
        density /= max(1, min(self.density_k, len(bank) - 1))
        spread = bool((density > TINY).any())
        return {"bank": bank, "density": density.clamp_min(TINY) if spread else torch.ones_like(density)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return nearest(embeddings, learned["bank"], self.k, self.metric, learned.get("density"))[0].mean(1)


@dataclass(frozen=True, kw_only=True)
class Lof:
    """Local outlier factor with the cosine distance, as scikit-learn's LocalOutlierFactor(novelty=True) has it."""

    k: int = 4

    def __post_init__(self) -> None:
        check_whole(self, "k", 1)

    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        if len(bank) == 1:  # no neighbours: it reaches no distance and is as dense as can be
            none = bank.new_zeros(1, dtype=torch.float64)
            return {"bank": bank, "reach": none, "density": none + 1 / TINY}
        distances, positions = nearest(bank, bank, self.k, "cosine", itself=False)
        reach = distances[:, -1]  # to the k-th
        return {"bank": bank, "reach": reach, "density": self._density(distances, reach[positions])}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        bank = learned["bank"]
        distances, positions = nearest(embeddings, bank, min(self.k, max(1, len(bank) - 1)), "cosine")
        own = self._density(distances, learned["reach"][positions])
        return learned["density"][positions].mean(1) / own

    @staticmethod
    def _density(distances: Tensor, reach: Tensor) -> Tensor:
        return 1 / (torch.maximum(distances, reach).mean(1) + TINY)


@dataclass(frozen=True, kw_only=True)
class Mahalanobis:
    """The distance to the bank's mean, in standard deviations of the bank; square-rooted.

    Variances along the covariance's axes are at least `floor` times the largest. A bank with fewer clips than
    dimensions has axes of no variance: a pseudo-inverse would not hear what differs there, this hears it loudest.
    A bank of one clip, or of equal ones, gives the plain distance to it.
    """

    floor: float = 1e-6

    def __post_init__(self) -> None:
        must_be(self, "floor", 0 < self.floor <= 1, "above 0 and at most 1")

    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        mean = bank.double().mean(0)
        centred = bank.double() - mean
        variances, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(bank) - 1))
        if variances[-1] <= NOISE * mean.square().sum():
            variances = torch.ones_like(variances)
        return {"mean": mean, "whitening": axes / variances.clamp_min(self.floor * float(variances[-1])).sqrt()}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return ((embeddings.double() - learned["mean"]) @ learned["whitening"]).square().sum(1).sqrt()


@dataclass(frozen=True, kw_only=True)
class MeanCosine:
    """1 - cosine to the mean of the bank."""

    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        return {"mean": bank.double().mean(0, keepdim=True)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        return distances(embeddings.double(), learned["mean"], "cosine")[:, 0]


@dataclass(frozen=True, kw_only=True)
class Gmm:
    """Minus the log-likelihood under a mixture of `components` Gaussians, "full" or "diag" in their covariances.

    `reg` is added to every variance, in units of the bank's mean variance, so that it means the same in every
    embedding.
    """

    components: int = 2
    covariance: str = "full"
    reg: float = 1e-3

    def __post_init__(self) -> None:
        check_whole(self, "components", 1)
        must_be(self, "covariance", self.covariance in ("full", "diag"), "'full' or 'diag'")
        must_be(self, "reg", 0 < self.reg < math.inf, "above 0")

    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        mean = bank.double().mean(0)
        scale = (bank.double() - mean).square().mean().sqrt()
        scale = torch.where(scale**2 > NOISE * mean.square().mean(), scale, 1.0)
        rows = (bank.double() - mean) / scale
        return {"mean": mean, "scale": scale, **mixture(rows, self.components, self.covariance, self.reg, 1e-3, seed)}

    def score(self, learned: Learned, embeddings: Tensor) -> Tensor:
        rows = (embeddings.double() - learned["mean"]) / learned["scale"]
        densities = log_densities(rows, learned["means"], learned["factors"]) + learned["weights"].log()
        return rows.shape[1] * learned["scale"].log() - densities.logsumexp(1)


@dataclass(frozen=True, kw_only=True)
class KMeansTarget:
    """The cosine distance to the nearest of `clusters` centres of source clips and of all target clips.

    There are too few target clips for centres, so each stands for itself. Clips without a domain are source clips.
    """

    clusters: int = 16

    def __post_init__(self) -> None:
        check_whole(self, "clusters", 1)

    def learn(self, bank: Tensor, target: Tensor, seed: int) -> Learned:
        rows = normalize(bank.double(), eps=1e-60)
        source = rows[~target].cpu().numpy()
        kept = [rows[target]]
        if len(source):
            clusters = min(self.clusters, len(np.unique(source, axis=0)))
            centres = KMeans(clusters, n_init=1, random_state=seed % 2**32).fit(source).cluster_centers_
            kept.append(torch.from_numpy(centres).to(rows))
        return {"bank": torch.cat(kept)}

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


def named(names: str) -> dict[str, Backend]:
    """``"knn, lof"`` -> the two of `BACKENDS`: several backends as one parameter of a family."""
    asked = [name.strip() for name in names.split(",")]
    for name in asked:
        if name not in BACKENDS:
            raise unknown("backend", name, BACKENDS)
    return {name: BACKENDS[name] for name in asked}


class Backends:
    """Several backends at once, learned of each id's clips alone.

    A clip of an id that was not learned is scored by every id's, and the lowest score counts: it is as normal as the
    known machine that it resembles most. With `smote_ratio` above 0, each id's bank first gets interpolated target
    clips; see `smote`. A family may learn anew after every epoch: no stream of random numbers is drawn from.
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
            raise AsdRayError("backends cannot learn of no clips; check the training split of this machine")
        embeddings = _finite(embeddings)
        learned = {}
        for id, at in _positions(ids, embeddings.device).items():
            # The same seed for every id: what an id learns does not depend on which others there are.
            generator, domain = torch.Generator().manual_seed(self.seed), target.to(at.device)[at]
            bank, domain = smote(embeddings[at], domain, self.smote_ratio, self.smote_neighbours, generator)
            learned[id] = {name: each.learn(bank, domain, self.seed) for name, each in self.backends.items()}
        self._learned = learned

    def score(self, embeddings: Tensor, ids: Sequence[str]) -> dict[str, Tensor]:
        """name of backend -> one float64 a clip."""
        if not self._learned:
            raise AsdRayError("backends were asked for scores before fit; call fit or load first")
        embeddings = _finite(embeddings)
        scores = {name: embeddings.new_empty(len(embeddings), dtype=torch.float64) for name in self.backends}
        for id, at in _positions(ids, embeddings.device).items():
            candidates = [self._learned[id]] if id in self._learned else list(self._learned.values())
            for name, each in self.backends.items():
                found = [each.score(_to(learned[name], at.device), embeddings[at]) for learned in candidates]
                scores[name][at] = torch.stack(found).amin(0)
        return scores

    def state(self) -> State:
        return {
            id: {name: _to(each, torch.device("cpu")) for name, each in learned.items()}
            for id, learned in self._learned.items()
        }

    def load(self, state: State) -> None:
        self._learned = dict(state)


def ids_of(clips: ClipSet) -> list[str]:
    """Machine and id of each clip as one text, as `Backends` wants them."""
    return [f"{machine} {id}" for machine, id in zip(clips.frame["machine"], clips.frame["id"], strict=True)]


def targets_of(clips: ClipSet) -> Tensor:
    """Whether each clip is of the target domain."""
    return torch.from_numpy(clips.frame["domain"].to_numpy(str) == "target")


def distances(rows: Tensor, bank: Tensor, metric: str) -> Tensor:
    """[n, d], [m, d] -> [n, m] of "cosine" (1 - cosine; 1 to an embedding of zeros) or "euclidean" distances.

    What differs by less than float32 can tell is 0.
    """
    if metric == "cosine":
        cosines = normalize(rows, eps=1e-60) @ normalize(bank, eps=1e-60).T
        return torch.threshold_(cosines.neg_().add_(1), NOISE, 0.0)
    lengths = rows.square().sum(1)[:, None] + bank.square().sum(1)
    squares = torch.addmm(lengths, rows, bank.T, alpha=-2)
    return squares.masked_fill_(squares < NOISE * lengths, 0).sqrt_()


def nearest(
    rows: Tensor, bank: Tensor, k: int, metric: str, density: Tensor | None = None, *, itself: bool = True
) -> tuple[Tensor, Tensor]:
    """Distances, divided by `density` of the bank if given, to the `k` nearest of `bank`, and their positions.

    [n, k] each, or as many as the bank has. With ``itself=False`` `rows` are the bank, and none is its own neighbour.
    """
    k, wide = min(k, len(bank) - (not itself)), bank.double()
    found = []
    for start in range(0, max(1, len(rows)), BLOCK):
        block = distances(rows[start : start + BLOCK].double(), wide, metric)
        if density is not None:
            block /= density
        if not itself:
            block.diagonal(start).fill_(torch.inf)
        found.append(block.topk(k, dim=1, largest=False))
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def mixture(rows: Tensor, components: int, covariance: str, reg: float, tol: float, seed: int) -> Learned:
    """A fitted Gaussian mixture: `weights`, `means`, and `factors`, the upper Cholesky factors of the precisions
    (their square roots where the covariance is "diag"). There are no more components than different rows."""
    learned = rows.double().cpu().numpy()
    components, seed = min(components, len(np.unique(learned, axis=0))), seed % 2**32
    model = GaussianMixture(components, covariance_type=covariance, tol=tol, reg_covar=reg, random_state=seed)
    if len(learned) == 1:  # scikit-learn wants two rows
        learned = np.repeat(learned, 2, axis=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its 100 rounds do
            model.fit(learned)
    except ValueError as error:
        raise AsdRayError(f"the Gaussian mixture: {error}; raise reg, now {reg:g}") from error
    found = {"weights": model.weights_, "means": model.means_, "factors": model.precisions_cholesky_}
    return {name: torch.from_numpy(value).to(rows.device) for name, value in found.items()}


def log_densities(rows: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """[n, d] -> [n, components]: the log density of each Gaussian of a `mixture`, its weight left out."""
    full = factors.ndim == 3
    columns = []
    for mean, factor in zip(means, factors, strict=True):
        whitened = (rows - mean) @ factor if full else (rows - mean) * factor
        half = (factor.diagonal() if full else factor).log().sum()  # of the log determinant
        columns.append(half - 0.5 * whitened.square().sum(1))
    return torch.stack(columns, 1) - 0.5 * rows.shape[1] * math.log(2 * math.pi)


def smote(
    embeddings: Tensor, target: Tensor, ratio: float, neighbours: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The embeddings and domains with interpolated target clips after them, up to `ratio` times the source clips.

    Fewer than two target clips give nothing to interpolate, and nothing is added.
    """
    wanted = round(ratio * int((~target).sum())) - int(target.sum())
    if wanted <= 0 or int(target.sum()) < 2:
        return embeddings, target
    made = interpolated(embeddings[target], wanted, neighbours, generator)
    return torch.cat([embeddings, made]), torch.cat([target, target.new_ones(wanted)])


def interpolated(rows: Tensor, count: int, neighbours: int, generator: torch.Generator) -> Tensor:
    """SMOTE: `count` rows, each at a random place between a random row and one of its nearest neighbours."""
    close = nearest(rows, rows, neighbours, "euclidean", itself=False)[1].cpu()
    chosen = torch.randint(len(rows), (count,), generator=generator)
    towards = close[chosen, torch.randint(close.shape[1], (count,), generator=generator)]
    shares = torch.rand(count, 1, generator=generator).to(rows)
    begin = rows[chosen.to(rows.device)]
    return begin + shares * (rows[towards.to(rows.device)] - begin)


def _positions(ids: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """id -> positions of its clips."""
    names, numbers = np.unique(np.asarray(ids, dtype=str), return_inverse=True)
    return {str(name): torch.from_numpy(np.flatnonzero(numbers == i)).to(device) for i, name in enumerate(names)}


def _finite(embeddings: Tensor) -> Tensor:
    if not bool(embeddings.isfinite().all()):
        raise AsdRayError("embeddings must be finite, but some are not: the net diverged; lower lr")
    return embeddings.detach()


def _to(learned: Learned, device: torch.device) -> Learned:
    return {name: value.detach().to(device) for name, value in learned.items()}
