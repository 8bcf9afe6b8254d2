from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_ray.detectors.parts import augment


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def images(count: int = 3) -> torch.Tensor:
    return 20 * torch.randn(count, 1, 8, 5) - 40


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 8.0])
def test_weights_follow_the_beta_distribution_and_the_generator(alpha: float) -> None:
    weights = augment.mixing_weights(20_000, alpha, np.random.default_rng(0))
    again = augment.mixing_weights(20_000, alpha, np.random.default_rng(0))
    assert torch.equal(weights, again)
    assert 0 <= float(weights.min()) < float(weights.max()) <= 1
    assert float(weights.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(weights.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_mixing_before_the_log_mixes_powers_and_after_it_decibels() -> None:
    first, second, weights = images(), images(), torch.tensor([0.2, 0.5, 0.9])
    w = weights.view(3, 1, 1, 1)
    after = augment.mixed(first, second, weights)
    before = augment.mixed_before_log(first, second, weights)
    assert torch.allclose(after, w * first + (1 - w) * second, atol=1e-4)
    powers = w * 10 ** (first.double() / 10) + (1 - w) * 10 ** (second.double() / 10)
    assert torch.allclose(before.double(), 10 * powers.log10(), atol=1e-4)
    assert (before > after).all()  # the mean of powers is above the power of the mean


def test_mixing_equal_images_changes_nothing() -> None:
    first, weights = images(), torch.tensor([0.0, 0.3, 1.0])
    assert torch.allclose(augment.mixed(first, first, weights), first)
    assert torch.allclose(augment.mixed_before_log(first, first, weights), first, atol=1e-4)


@pytest.mark.parametrize("mix", [augment.mixed, augment.mixed_before_log])
def test_weights_of_one_and_zero_give_the_first_and_the_second(mix: object) -> None:
    assert callable(mix)
    first, second = images(2), images(2)
    result = mix(first, second, torch.tensor([1.0, 0.0]))
    assert torch.allclose(result[0], first[0], atol=1e-4)
    assert torch.allclose(result[1], second[1], atol=1e-4)


def test_waves_can_be_mixed() -> None:
    first, second = torch.randn(2, 2, 100)
    result = augment.mixed(first, second, torch.tensor([0.25, 1.0]))
    assert torch.allclose(result, torch.stack([0.25 * first[0] + 0.75 * second[0], first[1]]), atol=1e-6)


def test_soft_labels_sum_to_one() -> None:
    first, second = torch.tensor([0, 1, 2, 2]), torch.tensor([3, 1, 0, 1])
    weights = torch.tensor([0.4, 0.7, 1.0, 0.0])
    labels = augment.soft_labels(first, second, weights, 4)
    assert torch.allclose(labels.sum(1), torch.ones(4))
    expected = torch.tensor([[0.4, 0, 0, 0.6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]])
    assert torch.allclose(labels, expected)


def test_the_identity_warp_returns_the_image() -> None:
    inputs = images()
    matrices = augment.warp_matrices(8, [(0.0, 1.0), (0.1, 0.9)])
    assert torch.equal(matrices[0], torch.eye(8))
    assert torch.equal(augment.warped(inputs, matrices, torch.tensor([0, 0, 0])), inputs)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.9), (-0.2, 1.2), (0.0, 0.5), (0.3, 1.1)])
def test_a_warp_is_linear_interpolation_at_the_polynomial(a: float, b: float) -> None:
    inputs = images()
    matrices = augment.warp_matrices(8, [(0.0, 1.0), (a, b)])
    result = augment.warped(inputs, matrices, torch.tensor([1, 0, 1]))
    f = np.arange(8) / 7
    positions = np.clip(a * f**2 + b * f, 0, 1) * 7
    for i in (0, 2):
        for t in range(5):
            expected = np.interp(positions, np.arange(8), inputs[i, 0, :, t].numpy())
            np.testing.assert_allclose(result[i, 0, :, t].numpy(), expected, atol=1e-4)
    assert torch.equal(result[1], inputs[1])
    assert torch.allclose(matrices.sum(2), torch.ones(2, 8))


def test_each_warp_of_each_class_is_a_class() -> None:
    labels, which = torch.arange(3).repeat(2), torch.tensor([0, 0, 0, 1, 1, 1])
    assert augment.warped_labels(labels, which, 3).tolist() == [0, 1, 2, 3, 4, 5]
