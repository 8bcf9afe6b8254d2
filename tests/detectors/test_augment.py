from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_ray.detectors.parts import augment


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pictures(count: int = 3) -> torch.Tensor:
    return 20 * torch.randn(count, 1, 8, 5) - 40


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 8.0])
def test_weights_are_of_the_beta_distribution_and_of_the_generator(alpha: float) -> None:
    weights = augment.mixing_weights(20_000, alpha, np.random.default_rng(0))
    again = augment.mixing_weights(20_000, alpha, np.random.default_rng(0))
    assert torch.equal(weights, again)
    assert 0 <= float(weights.min()) < float(weights.max()) <= 1
    assert float(weights.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(weights.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_mixing_before_the_log_is_of_powers_and_after_it_of_decibels() -> None:
    first, second, weights = pictures(), pictures(), torch.tensor([0.2, 0.5, 0.9])
    w = weights.view(3, 1, 1, 1)
    after = augment.mixed(first, second, weights)
    before = augment.mixed_before_log(first, second, weights)
    assert torch.allclose(after, w * first + (1 - w) * second, atol=1e-4)
    powers = w * 10 ** (first.double() / 10) + (1 - w) * 10 ** (second.double() / 10)
    assert torch.allclose(before.double(), 10 * powers.log10(), atol=1e-4)
    assert (before > after).all()  # the mean of powers is above the power of the mean


def test_mixing_equal_pictures_changes_nothing() -> None:
    first, weights = pictures(), torch.tensor([0.0, 0.3, 1.0])
    assert torch.allclose(augment.mixed(first, first, weights), first)
    assert torch.allclose(augment.mixed_before_log(first, first, weights), first, atol=1e-4)


@pytest.mark.parametrize("mix", [augment.mixed, augment.mixed_before_log])
def test_a_weight_of_all_or_nothing_gives_one_of_the_two(mix: object) -> None:
    assert callable(mix)
    first, second = pictures(2), pictures(2)
    made = mix(first, second, torch.tensor([1.0, 0.0]))
    assert torch.allclose(made[0], first[0], atol=1e-4)
    assert torch.allclose(made[1], second[1], atol=1e-4)


def test_waves_mix_too() -> None:
    first, second = torch.randn(2, 2, 100)
    made = augment.mixed(first, second, torch.tensor([0.25, 1.0]))
    assert torch.allclose(made, torch.stack([0.25 * first[0] + 0.75 * second[0], first[1]]), atol=1e-6)


def test_soft_labels_sum_to_one() -> None:
    first, second = torch.tensor([0, 1, 2, 2]), torch.tensor([3, 1, 0, 1])
    weights = torch.tensor([0.4, 0.7, 1.0, 0.0])
    labels = augment.soft_labels(first, second, weights, 4)
    assert torch.allclose(labels.sum(1), torch.ones(4))
    wanted = torch.tensor([[0.4, 0, 0, 0.6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]])
    assert torch.allclose(labels, wanted)


def test_a_warp_of_nothing_is_the_picture_itself() -> None:
    given = pictures()
    matrices = augment.warp_matrices(8, [(0.0, 1.0), (0.1, 0.9)])
    assert torch.equal(matrices[0], torch.eye(8))
    assert torch.equal(augment.warped(given, matrices, torch.tensor([0, 0, 0])), given)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.9), (-0.2, 1.2), (0.0, 0.5), (0.3, 1.1)])
def test_a_warp_is_linear_interpolation_at_the_polynomial(a: float, b: float) -> None:
    given = pictures()
    matrices = augment.warp_matrices(8, [(0.0, 1.0), (a, b)])
    made = augment.warped(given, matrices, torch.tensor([1, 0, 1]))
    f = np.arange(8) / 7
    at = np.clip(a * f**2 + b * f, 0, 1) * 7
    for i in (0, 2):
        for t in range(5):
            wanted = np.interp(at, np.arange(8), given[i, 0, :, t].numpy())
            np.testing.assert_allclose(made[i, 0, :, t].numpy(), wanted, atol=1e-4)
    assert torch.equal(made[1], given[1])
    assert torch.allclose(matrices.sum(2), torch.ones(2, 8))


def test_each_warp_of_each_class_is_a_class() -> None:
    labels, which = torch.arange(3).repeat(2), torch.tensor([0, 0, 0, 1, 1, 1])
    assert augment.warped_labels(labels, which, 3).tolist() == [0, 1, 2, 3, 4, 5]
