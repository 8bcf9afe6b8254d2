"""Sub-cluster AdaCos with one centre per class is AdaCos: loss, gradients and scale, beside a plain implementation.

The one difference is known. AdaCos leaves a sample's own class out of the sum for the scale; sub-cluster AdaCos, which
is meant for mixed samples, does not. A mixed sample has no own class, so there both are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from asd_ray.detectors.parts.heads import SubClusterAdaCos, divergence

Matrix = npt.NDArray[np.float64]
SAMPLES, CLASSES, WIDTH = 7, 5, 6  # an odd number of samples has one median
STEPS, RATE = 6, 0.2
EXACT = {"rtol": 1e-9, "atol": 1e-12}


@dataclass
class AdaCos:
    """By the formulas of Zhang, Zhao, Qiao, Wang, Li: "AdaCos: Adaptively Scaling Cosine Logits", CVPR 2019.

    Without any library of nets, one sample and one class at a time. With `own`, the sum for the scale has the
    sample's own class, too.
    """

    scale: float = math.sqrt(2) * math.log(CLASSES - 1)  # the fixed scale, from which the adaptive one starts
    own: bool = True

    def adapt(self, embedding: Matrix, weight: Matrix, soft: Matrix) -> None:
        """s = log(B) / cos(min(π/4, median θ)): B is the mean over samples of Σ exp(s cos θ), at the scale before."""
        cos = cosines(embedding, weight)
        sums, angles = [], []
        for i in range(len(embedding)):
            classes = [k for k in range(len(weight)) if self.own or soft[i, k] < 1]
            sums.append(sum(math.exp(self.scale * cos[i, k]) for k in classes))
            angles.append(sum(soft[i, k] * math.acos(cos[i, k]) for k in range(len(weight))))
        median = sorted(angles)[len(angles) // 2]
        self.scale = math.log(sum(sums) / len(sums)) / math.cos(min(math.pi / 4, median))

    def loss(self, embedding: Matrix, weight: Matrix, soft: Matrix) -> tuple[float, Matrix, Matrix]:
        """Cross-entropy minus the entropy of the labels, and its gradients by embedding and weight."""
        cos, n = cosines(embedding, weight), len(embedding)
        loss, by_embedding, by_weight = 0.0, np.zeros_like(embedding), np.zeros_like(weight)
        for i in range(n):
            powers = np.exp(self.scale * cos[i])
            for k in range(len(weight)):
                probability, label = powers[k] / powers.sum(), soft[i, k]
                loss += (label * math.log(label / probability) if label else 0.0) / n
                by_cos = self.scale * (probability - label) / n
                x, w = np.linalg.norm(embedding[i]), np.linalg.norm(weight[k])
                by_embedding[i] += by_cos * (weight[k] / w - cos[i, k] * embedding[i] / x) / x
                by_weight[k] += by_cos * (embedding[i] / x - cos[i, k] * weight[k] / w) / w
        return loss, by_embedding, by_weight


def cosines(embedding: Matrix, weight: Matrix) -> Matrix:
    return np.array([[x @ w / math.sqrt(x @ x) / math.sqrt(w @ w) for w in weight] for x in embedding])


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> SubClusterAdaCos:
    """With learned centres. It computes in 64 bits instead of its 32, so that rounding hides nothing."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.manual_seed(0)
    head = SubClusterAdaCos(WIDTH, CLASSES, sub_clusters=1, learned=True).double()
    assert float(head.scale) == pytest.approx(AdaCos.scale, rel=1e-7)
    head.scale.fill_(AdaCos.scale)
    return head


def samples(head: SubClusterAdaCos, near: bool, mixed: bool) -> tuple[Tensor, Tensor]:
    """Embeddings, near their class or anywhere, and soft labels, of one class or of two."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(SAMPLES) % CLASSES
    soft = torch.nn.functional.one_hot(labels, CLASSES).double()
    if mixed:
        shares = 0.8 + 0.15 * torch.rand(SAMPLES, 1, generator=draw).double()
        soft = shares * soft + (1 - shares) * soft.roll(1, 1)
    noise = torch.randn(SAMPLES, WIDTH, generator=draw).double()
    centres = torch.nn.functional.normalize(head.weight.detach())[labels]
    return (3 * centres + 0.3 * noise if near else noise).requires_grad_(), soft


def step(head: SubClusterAdaCos, embedding: Tensor, soft: Tensor) -> tuple[float, Matrix, Matrix]:
    """The head's loss and gradients."""
    head.weight.grad = embedding.grad = None
    loss = divergence(head.logits(embedding, soft), soft)
    loss.backward()  # type: ignore[no-untyped-call]
    assert embedding.grad is not None
    assert head.weight.grad is not None
    return loss.item(), embedding.grad.numpy().copy(), head.weight.grad.numpy().copy()


def moved(head: SubClusterAdaCos, embedding: Tensor, gradients: tuple[Matrix, Matrix]) -> None:
    with torch.no_grad():
        embedding -= RATE * torch.from_numpy(gradients[0])
        head.weight -= RATE * torch.from_numpy(gradients[1])


def assert_equal(ours: tuple[float, Matrix, Matrix], plain: tuple[float, Matrix, Matrix]) -> None:
    for own, expected in zip(ours, plain, strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(own, expected, **EXACT)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("near", [False, True])
def test_training_is_that_of_adacos(head: SubClusterAdaCos, near: bool, mixed: bool) -> None:
    embedding, soft = samples(head, near, mixed)
    plain, scales = AdaCos(own=not mixed), []
    for _ in range(STEPS):
        values = embedding.detach().numpy().copy(), head.weight.detach().numpy().copy(), soft.numpy()
        ours = step(head, embedding, soft)
        plain.adapt(*values)
        assert_equal(ours, plain.loss(*values))
        assert float(head.scale) == pytest.approx(plain.scale, rel=1e-9)
        scales.append(plain.scale)
        moved(head, embedding, ours[1:])
    assert all(0.5 < scale < 100 for scale in scales)  # no limit of the scale is reached
    assert min(abs(one / other - 1) for one, other in zip(scales, scales[1:], strict=False)) > 1e-4
    angles = np.arccos(cosines(values[0], values[1]))[np.arange(SAMPLES), soft.argmax(1).numpy()]
    assert (np.median(angles) < math.pi / 4) == near


@pytest.mark.parametrize("near", [False, True])
def test_the_fixed_scale_is_that_of_adacos(head: SubClusterAdaCos, near: bool) -> None:
    """In eval mode the scale stays √2 · log(classes − 1)."""
    embedding, soft = samples(head.eval(), near, mixed=False)
    values = embedding.detach().numpy(), head.weight.detach().numpy(), soft.numpy()
    assert_equal(step(head, embedding, soft), AdaCos().loss(*values))
    assert float(head.scale) == AdaCos.scale


def test_the_scale_of_unmixed_samples_has_their_own_class_too(head: SubClusterAdaCos) -> None:
    embedding, soft = samples(head, near=True, mixed=False)
    with_own, without = AdaCos(), AdaCos(own=False)
    for plain in (with_own, without):
        plain.adapt(embedding.detach().numpy(), head.weight.detach().numpy(), soft.numpy())
    head.logits(embedding, soft)
    assert float(head.scale) == pytest.approx(with_own.scale, rel=1e-9)
    assert without.scale < 0.9 * with_own.scale
