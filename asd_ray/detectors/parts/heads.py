"""Heads of classifiers and their losses: what an embedding says about classes.

`logits(embedding, labels)` of every head gives [n, classes] to be learned from with cross-entropy or divergence, and
with ``labels=None`` what the head says to whoever does not know the class. A head works in 32 bits whatever the net
before it does: of s · cos with s = 30, half precision would leave nothing fine enough to score by.

ArcFace: Deng, Guo, Xue, Zafeiriou, CVPR 2019. Noisy-ArcMix: Choi, Choi, 2023. Sub-cluster AdaCos: Wilkinghoff, "Sub-
Cluster AdaCos: Learning Representations for Anomalous Sound Detection", IJCNN 2021. AdaProj: Wilkinghoff, "AdaProj:
Adaptively Scaled Angular Margin Subspace Projections for Anomalous Sound Detection with Auxiliary Classification
Tasks", 2024.

Chosen here: the angle of a sample to a class of sub-cluster AdaCos is the mean over its sub-clusters (the author's
code adds them up; to 16 random directions either is above the π/4 that the formula caps it at), and an adaptive scale
stays in [0.5, 100], since that of sub-cluster AdaCos grows without end where samples are not mixed.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, linear, normalize, one_hot

from asd_ray.errors import AsdRayError
from asd_ray.features._base import must_be

SMALLEST_SQUARE = 1e-7  # of a sine: the root's slope is infinite at 0, where an embedding lies on its class
HEADS = ("softmax", "arcface")
SCALES = 0.5, 100.0  # within which an adaptive scale stays


class Head(Protocol):
    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor: ...


class Softmax(nn.Module):
    """A linear layer; labels change nothing."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            made: Tensor = self.linear(embedding.float())
        return made


class ArcFace(nn.Module):
    """`scale` times the cosine to each class, the angle to the true one made larger by `margin`.

    Where the larger angle would pass π, cos θ − margin · sin(π − margin) goes on downwards in its place.
    """

    def __init__(self, width: int, classes: int, *, scale: float = 30.0, margin: float = 0.7) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, width)))

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        """`labels` are class numbers, [n]: mixtures go through `noisy_arcmix`."""
        cos = cosines(embedding, self.weight)
        if labels is None:
            return self.scale * cos
        at = labels.unsqueeze(1)
        true = cos.gather(1, at)
        sin = (1 - true.square()).clamp_min(SMALLEST_SQUARE).sqrt()
        beyond = true <= math.cos(math.pi - self.margin)
        moved = true * math.cos(self.margin) - sin * math.sin(self.margin)
        further = true - self.margin * math.sin(math.pi - self.margin)
        return self.scale * cos.scatter(1, at, torch.where(beyond, further, moved))


def check_head(owner: object) -> None:
    """The parameters `head`, `scale` and `margin` of a family that learns by ArcFace or by cross-entropy alone."""
    must_be(owner, "head", getattr(owner, "head", "") in HEADS, f"one of {', '.join(HEADS)}")
    must_be(owner, "scale", getattr(owner, "scale", 0) > 0, "above 0")
    must_be(owner, "margin", 0 <= getattr(owner, "margin", -1) < 1.5, "in [0, 1.5)")


def new_head(head: str, width: int, classes: int, *, scale: float, margin: float) -> ArcFace | Softmax:
    return ArcFace(width, classes, scale=scale, margin=margin) if head == "arcface" else Softmax(width, classes)


class SubClusterAdaCos(nn.Module):
    """Each class has several centres; its probability is the sum of theirs in a softmax over all, whose scale adapts.

    The scale follows every batch of `logits` with labels in training mode. It is meant for mixed samples, and labels
    may be soft. The centres stay as drawn unless `learned`.
    """

    scale: Tensor

    def __init__(self, width: int, classes: int, *, sub_clusters: int = 16, learned: bool = False) -> None:
        super().__init__()
        self.sub_clusters = sub_clusters
        drawn = nn.init.xavier_uniform_(torch.empty(classes * sub_clusters, width))
        self.weight = nn.Parameter(drawn, requires_grad=learned)
        self.register_buffer("scale", torch.tensor(first_scale(classes * sub_clusters)))

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logarithms of the classes' sums, so that their softmax is the sum of probabilities."""
        cos = cosines(embedding, self.weight).view(len(embedding), -1, self.sub_clusters)
        if labels is not None and self.training:
            exponents = self.scale * cos.detach().flatten(1)
            self.scale.copy_(_adapted(exponents, _angles(cos).mean(2), _soft(labels, cos.shape[1])))
        return torch.logsumexp(self.scale * cos, 2)


class AdaProj(nn.Module):
    """Each class has a subspace; its logit is the cosine between an embedding and its projection on that subspace.

    The scale adapts as that of `SubClusterAdaCos`, with the true class left out of the sum it is computed from, and
    labels may be soft. The centres that span a subspace stay as drawn unless `learned`. As in the author's code they
    are of unit length and taken as if they were orthogonal, which in many dimensions they nearly are.
    """

    scale: Tensor

    def __init__(self, width: int, classes: int, *, dimensions: int = 32, learned: bool = False) -> None:
        super().__init__()
        if dimensions >= width:
            raise AsdRayError(f"dimensions of AdaProj must be below the {width} of the embedding but got {dimensions}")
        drawn = nn.init.xavier_uniform_(torch.empty(classes, dimensions, width))
        self.weight = nn.Parameter(drawn, requires_grad=learned)
        self.register_buffer("scale", torch.tensor(first_scale(classes)))

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        cos = self._cosines(embedding)
        if labels is not None and self.training:
            soft = _soft(labels, cos.shape[1])
            exponents = torch.where(soft < 1, self.scale * cos.detach(), -torch.inf)
            self.scale.copy_(_adapted(exponents, _angles(cos), soft))
        return self.scale * cos

    def _cosines(self, embedding: Tensor) -> Tensor:
        """With shares a = C x of the centres C: x · Cᵀa = |a|², and |Cᵀa|² = aᵀ (C Cᵀ) a; no projection is made."""
        with torch.autocast(embedding.device.type, enabled=False):
            centres = normalize(self.weight, dim=2)
            shares = torch.einsum("nw,cdw->cnd", normalize(embedding.float()), centres)
            squares = (shares @ (centres @ centres.mT) * shares).sum(2)
            return (shares.square().sum(2) * squares.clamp_min(SMALLEST_SQUARE).rsqrt()).mT


def cosines(embedding: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast(embedding.device.type, enabled=False):
        return linear(normalize(embedding.float()), normalize(weight)).clamp(-1, 1)


def first_scale(centres: int) -> float:
    """√2 · log(centres − 1): what AdaCos begins with."""
    return max(math.sqrt(2) * math.log(max(centres - 1, 1)), SCALES[0])


def _angles(cos: Tensor) -> Tensor:
    return torch.acos(cos.detach().clamp(-1, 1))


def _soft(labels: Tensor, classes: int) -> Tensor:
    return one_hot(labels, classes).float() if labels.dim() == 1 else labels


def _adapted(exponents: Tensor, angles: Tensor, soft: Tensor) -> Tensor:
    """log of the mean over samples of Σ exp(`exponents`), over the cosine of the samples' median angle to their classes
    or of π/4 if that is less."""
    total = torch.logsumexp(exponents.flatten(), 0) - math.log(len(exponents))
    angle = (soft * angles).sum(1).median().clamp_max(math.pi / 4)
    return (total / angle.cos()).clamp(*SCALES)


def divergence(logits: Tensor, soft: Tensor) -> Tensor:
    """Kullback–Leibler divergence of the softmax from soft labels: cross-entropy less what no logits could avoid."""
    return kl_div(logits.log_softmax(1), soft, reduction="batchmean")


def arcmix(head: Head, embedding: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """Loss of mixtures of class `first`, weighing `weights`, with class `second`, each with its own margin."""
    losses = [cross_entropy(head.logits(embedding, labels), labels, reduction="none") for labels in (first, second)]
    return torch.lerp(losses[1], losses[0], weights).mean()


def noisy_arcmix(head: Head, embedding: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """As `arcmix`, with the margin of `first` in both terms."""
    logits = head.logits(embedding, first)
    of_first, of_second = (cross_entropy(logits, labels, reduction="none") for labels in (first, second))
    return (weights * of_first + (1 - weights) * of_second).mean()
