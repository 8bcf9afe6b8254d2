"""Heads of classifiers and their losses: from an embedding to class logits.

`logits(embedding, labels)` of every head returns [n, classes] for training with cross-entropy or divergence. With
``labels=None`` it returns the logits for scoring, where the class is unknown. A head computes in 32 bits whatever the
net before it uses: of s · cos with s = 30, half precision is too coarse to score by.

ArcFace: Deng, Guo, Xue, Zafeiriou, CVPR 2019. Noisy-ArcMix: Choi, Choi, 2023. Sub-cluster AdaCos: Wilkinghoff,
"Sub-Cluster AdaCos: Learning Representations for Anomalous Sound Detection", IJCNN 2021. AdaProj: Wilkinghoff,
"AdaProj: Adaptively Scaled Angular Margin Subspace Projections for Anomalous Sound Detection with Auxiliary
Classification Tasks", 2024.

Chosen here: in sub-cluster AdaCos the angle of a sample to a class is the mean over its sub-clusters. The author's code
adds them up; for 16 random directions both are above π/4, where the formula caps the angle. An adaptive scale stays in
[0.5, 100], because that of sub-cluster AdaCos grows without limit if samples are not mixed.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, linear, normalize, one_hot

from asd_ray.errors import AsdRayError
from asd_ray.features._base import must_be

SMALLEST_SQUARE = 1e-7  # of a sine: the gradient of the root is infinite at 0, where an embedding equals its class
HEADS = ("softmax", "arcface")
SCALES = 0.5, 100.0  # limits of an adaptive scale


class Head(Protocol):
    """What a classifier's head offers; see the module for `labels`."""

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor: ...


class Softmax(nn.Module):
    """A linear layer. Labels have no effect."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            logits: Tensor = self.linear(embedding.float())
        return logits


class ArcFace(nn.Module):
    """`scale` times the cosine to each class; for the true class the angle is first enlarged by `margin`.

    Where the enlarged angle would pass π, cos θ − margin · sin(π − margin) takes its place, so that the logit keeps
    falling.
    """

    def __init__(self, width: int, classes: int, *, scale: float = 30.0, margin: float = 0.7) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, width)))

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        """`labels` are class numbers, [n]. For mixtures see `noisy_arcmix`."""
        cos = cosines(embedding, self.weight)
        if labels is None:
            return self.scale * cos
        index = labels.unsqueeze(1)
        true_cos = cos.gather(1, index)
        true_sin = (1 - true_cos.square()).clamp_min(SMALLEST_SQUARE).sqrt()
        passes_pi = true_cos <= math.cos(math.pi - self.margin)
        with_margin = true_cos * math.cos(self.margin) - true_sin * math.sin(self.margin)
        beyond_pi = true_cos - self.margin * math.sin(math.pi - self.margin)
        return self.scale * cos.scatter(1, index, torch.where(passes_pi, beyond_pi, with_margin))


def check_head(owner: object) -> None:
    """Check `head`, `scale` and `margin` of a family that uses ArcFace or plain cross-entropy."""
    must_be(owner, "head", getattr(owner, "head", "") in HEADS, f"one of {', '.join(HEADS)}")
    must_be(owner, "scale", getattr(owner, "scale", 0) > 0, "above 0")
    must_be(owner, "margin", 0 <= getattr(owner, "margin", -1) < 1.5, "in [0, 1.5)")


def new_head(head: str, width: int, classes: int, *, scale: float, margin: float) -> ArcFace | Softmax:
    """The head of that name; `scale` and `margin` matter to ArcFace only."""
    return ArcFace(width, classes, scale=scale, margin=margin) if head == "arcface" else Softmax(width, classes)


class SubClusterAdaCos(nn.Module):
    """Several centres per class: a class's probability is the sum over its centres in a softmax with an adaptive scale.

    The scale is updated by every call of `logits` with labels in training mode. It is meant for mixed samples, and
    labels may be soft. With one centre per class it is AdaCos (Zhang et al., CVPR 2019), except that the sum for the
    scale has a sample's own class, too, as in the author's code; a mixed sample has none. The centres keep their random
    initial values unless `learned`.
    """

    scale: Tensor

    def __init__(self, width: int, classes: int, *, sub_clusters: int = 16, learned: bool = False) -> None:
        super().__init__()
        self.sub_clusters = sub_clusters
        centres = nn.init.xavier_uniform_(torch.empty(classes * sub_clusters, width))
        self.weight = nn.Parameter(centres, requires_grad=learned)
        self.register_buffer("scale", torch.tensor(first_scale(classes * sub_clusters)))

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logarithms of the sums over each class's centres, so that their softmax is the sum of probabilities."""
        cos = cosines(embedding, self.weight)
        cos = cos.view(-1, cos.shape[1] // self.sub_clusters, self.sub_clusters)
        if labels is not None and self.training:
            exponents = self.scale * cos.detach().flatten(1)
            self.scale.copy_(_adapted(exponents, _angles(cos).mean(2), _soft(labels, cos.shape[1])))
        return torch.logsumexp(self.scale * cos, 2)


class AdaProj(nn.Module):
    """One subspace per class: its logit is the cosine between an embedding and its projection onto that subspace.

    The scale adapts as in `SubClusterAdaCos`, but the true class is left out of the sum. Labels may be soft. The
    centres that span a subspace keep their random initial values unless `learned`. As in the author's code they have
    unit length and are treated as orthogonal, which in many dimensions they nearly are.
    """

    scale: Tensor

    def __init__(self, width: int, classes: int, *, dimensions: int = 32, learned: bool = False) -> None:
        super().__init__()
        if dimensions >= width:
            raise AsdRayError(f"dimensions of AdaProj must be below the {width} of the embedding but got {dimensions}")
        centres = nn.init.xavier_uniform_(torch.empty(classes, dimensions, width))
        self.weight = nn.Parameter(centres, requires_grad=learned)
        self.register_buffer("scale", torch.tensor(first_scale(classes)))

    def logits(self, embedding: Tensor, labels: Tensor | None = None) -> Tensor:
        cos = self._cosines(embedding)
        if labels is not None and self.training:
            soft = _soft(labels, cos.shape[1])
            exponents = torch.where(soft < 1, self.scale * cos.detach(), -torch.inf)
            self.scale.copy_(_adapted(exponents, _angles(cos), soft))
        return self.scale * cos

    def _cosines(self, embedding: Tensor) -> Tensor:
        """With a = C x for the centres C: x · Cᵀa = |a|², and |Cᵀa|² = aᵀ (C Cᵀ) a. No projection is computed."""
        with torch.autocast(embedding.device.type, enabled=False):
            centres = normalize(self.weight, dim=2)
            coordinates = torch.einsum("nw,cdw->cnd", normalize(embedding.float()), centres)
            squares = (coordinates @ (centres @ centres.mT) * coordinates).sum(2)
            return (coordinates.square().sum(2) * squares.clamp_min(SMALLEST_SQUARE).rsqrt()).mT


def sub_cluster_head(
    name: str, width: int, classes: int, sub_clusters: int, learned: bool
) -> SubClusterAdaCos | AdaProj:
    """The head "scac" with so many centres per class, or "adaproj" with a subspace of so many dimensions per class."""
    if name == "adaproj":
        return AdaProj(width, classes, dimensions=sub_clusters, learned=learned)
    return SubClusterAdaCos(width, classes, sub_clusters=sub_clusters, learned=learned)


def cosines(embedding: Tensor, weight: Tensor) -> Tensor:
    """[n, classes]: the cosine between each embedding and each row of `weight`, in 32 bits."""
    with torch.autocast(embedding.device.type, enabled=False):
        return linear(normalize(embedding.float()), normalize(weight)).clamp(-1, 1)


def first_scale(centres: int) -> float:
    """√2 · log(centres − 1): the initial scale of AdaCos."""
    return max(math.sqrt(2) * math.log(max(centres - 1, 1)), SCALES[0])


def _angles(cos: Tensor) -> Tensor:
    return torch.acos(cos.detach().clamp(-1, 1))


def _soft(labels: Tensor, classes: int) -> Tensor:
    return one_hot(labels, classes).float() if labels.dim() == 1 else labels


def _adapted(exponents: Tensor, angles: Tensor, soft: Tensor) -> Tensor:
    """The new scale: log of the batch mean of Σ exp(`exponents`), divided by the cosine of the median angle.

    The angle is that of a sample to its own class, at most π/4.
    """
    total = torch.logsumexp(exponents.flatten(), 0) - math.log(len(exponents))
    angle = (soft * angles).sum(1).median().clamp_max(math.pi / 4)
    return (total / angle.cos()).clamp(*SCALES)


def divergence(logits: Tensor, soft: Tensor) -> Tensor:
    """Kullback–Leibler divergence of the softmax from soft labels: cross-entropy minus the entropy of the labels."""
    return kl_div(logits.log_softmax(1), soft, reduction="batchmean")


def arcmix(head: Head, embedding: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """Loss of mixtures: `weights` of class `first`, the rest of class `second`, each with its own margin."""
    losses = [cross_entropy(head.logits(embedding, labels), labels, reduction="none") for labels in (first, second)]
    return torch.lerp(losses[1], losses[0], weights).mean()


def noisy_arcmix(head: Head, embedding: Tensor, first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """As `arcmix`, but with the margin of `first` in both terms."""
    logits = head.logits(embedding, first)
    first_loss, second_loss = (cross_entropy(logits, labels, reduction="none") for labels in (first, second))
    return (weights * first_loss + (1 - weights) * second_loss).mean()
