from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from asd_ray.detectors.parts.heads import (
    AdaProj,
    ArcFace,
    Softmax,
    SubClusterAdaCos,
    divergence,
    first_scale,
    noisy_arcmix,
)
from asd_ray.errors import AsdRayError


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def at_angle(head: ArcFace, angles: Tensor) -> Tensor:
    """Embeddings in the plane of the first two axes, at these angles from class 0 on the first axis."""
    head.weight.data[0] = torch.eye(head.weight.shape[1])[0]
    embedding = torch.zeros(len(angles), head.weight.shape[1])
    embedding[:, 0], embedding[:, 1] = angles.cos(), angles.sin()
    return 3 * embedding


def test_softmax_is_a_linear_layer_with_any_labels() -> None:
    head, embedding = Softmax(6, 4), torch.randn(5, 6)
    expected = embedding @ head.linear.weight.T + head.linear.bias
    assert torch.allclose(head.logits(embedding), expected)
    assert torch.equal(head.logits(embedding, torch.arange(4).repeat(2)[:5]), head.logits(embedding))


def test_arcface_without_margin_or_without_labels_is_a_scaled_cosine() -> None:
    embedding, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])
    head = ArcFace(6, 4, scale=20.0, margin=0.0)
    cosine = normalize(embedding) @ normalize(head.weight).T
    assert torch.allclose(head.logits(embedding), 20 * cosine, atol=1e-5)
    assert torch.allclose(head.logits(embedding, labels), 20 * cosine, atol=1e-5)


def test_arcface_moves_only_the_true_class_by_the_margin() -> None:
    head = ArcFace(6, 4)
    angles = torch.linspace(0.1, math.pi - 0.7 - 0.01, 40)
    embedding, labels = at_angle(head, angles), torch.zeros(40, dtype=torch.long)
    logits = head.logits(embedding, labels)
    assert torch.allclose(logits[:, 0], 30 * (angles + 0.7).cos(), atol=1e-3)
    assert torch.equal(logits[:, 1:], head.logits(embedding)[:, 1:])


def test_arcface_keeps_falling_where_the_margin_would_pass_pi() -> None:
    head = ArcFace(6, 4)
    angles = torch.linspace(math.pi - 0.7 + 0.01, math.pi, 20)
    logits = head.logits(at_angle(head, angles), torch.zeros(20, dtype=torch.long))
    assert torch.allclose(logits[:, 0], 30 * (angles.cos() - 0.7 * math.sin(math.pi - 0.7)), atol=1e-3)
    assert (logits[:, 0].diff() < 0).all()


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_gradients_are_finite_on_a_class_and_opposite_to_it(angle: float) -> None:
    head = ArcFace(6, 4)
    embedding = at_angle(head, torch.tensor([angle])).requires_grad_()
    cross_entropy(head.logits(embedding, torch.tensor([0])), torch.tensor([0])).backward()
    for grad in (embedding.grad, head.weight.grad):
        assert grad is not None
        assert grad.isfinite().all()


def test_heads_keep_32_bits_under_autocast() -> None:
    embedding, labels = torch.randn(5, 64), torch.tensor([0, 1, 2, 3, 0])
    for head in (Softmax(64, 4), ArcFace(64, 4), SubClusterAdaCos(64, 4).eval(), AdaProj(64, 4).eval()):
        with torch.autocast("cpu", torch.bfloat16):
            half = head.logits(embedding, labels)
        assert torch.equal(half, head.logits(embedding, labels))


def test_noisy_arcmix_has_the_margin_on_the_first_class_only() -> None:
    head, embedding = ArcFace(6, 4), torch.randn(3, 6)
    first, second = torch.tensor([0, 1, 2]), torch.tensor([3, 3, 2])
    logits = head.logits(embedding, first)
    one, none = torch.ones(3), torch.zeros(3)
    assert torch.allclose(noisy_arcmix(head, embedding, first, second, one), cross_entropy(logits, first))
    assert torch.allclose(noisy_arcmix(head, embedding, first, second, none), cross_entropy(logits, second))
    weights = torch.tensor([0.2, 0.5, 0.9])
    each = [
        weights[i] * cross_entropy(logits[[i]], first[[i]]) + (1 - weights[i]) * cross_entropy(logits[[i]], second[[i]])
        for i in range(3)
    ]
    assert torch.allclose(noisy_arcmix(head, embedding, first, second, weights), torch.stack(each).mean())


def test_divergence_is_cross_entropy_minus_the_entropy_of_the_labels() -> None:
    logits = torch.randn(2, 3)
    soft = torch.tensor([[0.4, 0.6, 0.0], [1.0, 0.0, 0.0]])
    own = -(0.4 * math.log(0.4) + 0.6 * math.log(0.6)) / 2
    assert float(divergence(logits, soft)) == pytest.approx(float(cross_entropy(logits, soft)) - own, abs=1e-6)
    assert float(divergence(soft.clamp_min(1e-30).log(), soft)) == pytest.approx(0, abs=1e-6)


def test_the_initial_scale_is_that_of_the_paper() -> None:
    assert first_scale(41 * 16) == pytest.approx(math.sqrt(2) * math.log(655))
    assert float(SubClusterAdaCos(8, 41).scale) == pytest.approx(9.170659, abs=1e-5)
    assert float(AdaProj(64, 41).scale) == pytest.approx(math.sqrt(2) * math.log(40))
    assert first_scale(1) == first_scale(2) == 0.5


def test_the_probability_of_a_class_is_the_sum_of_its_sub_clusters() -> None:
    head, embedding = SubClusterAdaCos(8, 3, sub_clusters=4), torch.randn(5, 8)
    probabilities = torch.softmax(head.scale * normalize(embedding) @ normalize(head.weight).T, 1)
    expected = probabilities.view(5, 3, 4).sum(2)
    assert torch.allclose(head.logits(embedding).softmax(1), expected, atol=1e-6)


def test_the_scale_of_sub_cluster_adacos_follows_a_batch_in_training_only() -> None:
    head, embedding, labels = SubClusterAdaCos(64, 3), torch.randn(5, 64), torch.tensor([0, 1, 2, 0, 1])
    before = float(head.scale)
    head.logits(embedding)
    head.eval().logits(embedding, labels)
    assert float(head.scale) == before
    logits = head.train().logits(embedding, labels)
    cos = normalize(embedding) @ normalize(head.weight).T
    total = torch.exp(before * cos).sum(1).mean().log()
    assert float(head.scale) == pytest.approx(float(total) * math.sqrt(2), rel=1e-5)  # random angles are above π/4
    assert torch.allclose(logits, torch.logsumexp(head.scale * cos.view(5, 3, 16), 2), atol=1e-5)
    soft = torch.nn.functional.one_hot(labels, 3).float()
    twin = SubClusterAdaCos(64, 3)
    twin.weight.data, twin.scale = head.weight.data, torch.tensor(before)
    assert torch.allclose(twin.logits(embedding, soft), logits)


def test_a_scale_stays_in_bounds_where_it_would_grow_without_limit() -> None:
    head = SubClusterAdaCos(8, 3)
    embedding = head.weight[::16]
    for _ in range(50):
        logits = head.logits(embedding, torch.tensor([0, 1, 2]))
    assert float(head.scale) == 100
    assert logits.isfinite().all()


def test_adaproj_is_the_cosine_to_the_projection_on_a_class() -> None:
    head, embedding = AdaProj(16, 3, dimensions=4), torch.randn(5, 16)
    centres = normalize(head.weight, dim=2)
    logits = head.logits(embedding)
    for i in range(5):
        x = normalize(embedding[i], dim=0)
        for c in range(3):
            projection = normalize(sum((x @ centre) * centre for centre in centres[c]), dim=0)
            assert float(logits[i, c]) == pytest.approx(float(head.scale * (x @ projection)), abs=1e-5)
    inside = centres[1, 0] + 0 * centres[1, 1]
    one = AdaProj(16, 3, dimensions=1)
    one.weight.data = head.weight[:, :1]
    assert float(one.logits(inside.unsqueeze(0))[0, 1]) == pytest.approx(float(one.scale), rel=1e-5)


def test_the_scale_of_adaproj_leaves_out_the_true_class() -> None:
    head, embedding = AdaProj(64, 3, dimensions=4), torch.randn(2, 64)
    before = float(head.scale)
    soft = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.7, 0.0]])
    cos = head.logits(embedding).detach() / before
    head.logits(embedding, soft)
    powers = torch.exp(before * cos)
    total = torch.stack([powers[0, 1] + powers[0, 2], powers[1].sum()]).mean().log()
    angle = float((soft * cos.acos()).sum(1).median().clamp_max(math.pi / 4))
    assert float(head.scale) == pytest.approx(max(float(total) / math.cos(angle), 0.5), rel=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_centres_are_trained_only_if_learned_is_set(learned: bool) -> None:
    embedding, labels = torch.randn(4, 64), torch.tensor([0, 1, 2, 0])
    for head in (SubClusterAdaCos(64, 3, learned=learned), AdaProj(64, 3, learned=learned)):
        inputs = embedding.clone().requires_grad_()
        cross_entropy(head.logits(inputs, labels), labels).backward()
        assert (head.weight.grad is not None) == learned
        assert inputs.grad is not None
        assert inputs.grad.isfinite().all()
        assert float(inputs.grad.abs().max()) > 0


def test_state_holds_the_scale() -> None:
    head, other = SubClusterAdaCos(64, 3), SubClusterAdaCos(64, 3)
    head.logits(torch.randn(4, 64), torch.tensor([0, 1, 2, 0]))
    other.load_state_dict(head.state_dict())
    embedding = torch.randn(2, 64)
    assert torch.equal(other.logits(embedding), head.logits(embedding))


def test_a_subspace_must_be_smaller_than_the_space() -> None:
    with pytest.raises(AsdRayError, match="below the 16 of the embedding but got 16"):
        AdaProj(16, 3, dimensions=16)
