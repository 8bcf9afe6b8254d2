from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors import Context
from asd_ray.detectors.families import anogan as module
from asd_ray.detectors.families.anogan import AnoGan, closest_codes, residual_losses
from asd_ray.errors import AsdRayError

SMALL: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 4,
    "channels": 2,
    "latent": 4,
    "hop": 2,
    "score_hop": 4,
    "steps": 3,
    "search_lr": 0.1,
}


@pytest.fixture
def bank(dataset: Callable[..., Path]) -> Bank:
    """4 training and 2 test clips of 132 frames: 3 windows at hop 2, 2 at hop 4."""
    return open_bank(dataset(clips=4, seconds=4.2))


def learned(bank: Bank, **changes: Any) -> AnoGan:
    detector = AnoGan(Context(), **{**SMALL, **changes})
    for _ in detector.fit(bank.select(split="train")):
        pass
    return detector


def random_values(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_nets_have_the_parameters_of_dcgan() -> None:
    nets = AnoGan(Context())._new_nets()
    # 4×4 convolutions 1-64-128-256-512-1024; weight and bias for each channel of the norms
    trunk = 16 * (64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1024) + 2 * (128 + 256 + 512 + 1024)
    assert sum(each.numel() for each in nets.generator.parameters()) == trunk + 2 * 64 + 16 * 1024 * 100
    assert sum(each.numel() for each in nets.discriminator.parameters()) == trunk + 16 * 1024
    result = nets.generate(torch.randn(2, 100, generator=torch.Generator().manual_seed(0)))
    assert result.shape == (2, 1, 128, 128)
    assert float(result.detach().abs().max()) <= 1
    assert nets.discriminator(result).shape == (2,)
    assert isinstance(nets.discriminator.features[1], nn.LeakyReLU)  # no norm after the first convolution


def test_a_step_follows_the_losses_of_dcgan() -> None:
    """The gradients after a step are those of the discriminator's loss, then of the generator's."""
    detector, real = AnoGan(Context(), **SMALL), random_values(3, 1, 128, 128)
    nets = detector._new_nets()
    before = copy.deepcopy(nets)
    generator = torch.Generator().manual_seed(5)
    losses = detector._step(nets, lambda positions: real[positions], generator)(torch.arange(3))

    result = before.generate(torch.randn((3, 4), generator=generator.manual_seed(5)))
    chances = [before.discriminator(each).sigmoid() for each in (real, result.detach())]
    judged = -(chances[0].log().mean() + (1 - chances[1]).log().mean()) / 2
    judged.backward()
    generator_loss = -nets.discriminator(result).sigmoid().log().mean()  # of the discriminator after its step
    slopes = torch.autograd.grad(generator_loss, list(before.generator.parameters()))

    torch.testing.assert_close(losses["discriminator"], judged, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses["generator"], generator_loss, rtol=1e-4, atol=1e-6)
    for own, other in zip(nets.discriminator.parameters(), before.discriminator.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-6)
    for each, slope in zip(nets.generator.parameters(), slopes, strict=True):
        torch.testing.assert_close(each.grad, slope, rtol=1e-3, atol=1e-6)
    assert float(slopes[0].abs().max()) > 1e-4  # far above the tolerance
    assert all(each.requires_grad for each in nets.parameters())


def test_residual_losses_weigh_images_and_features() -> None:
    result, real = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, -2.0, 3.0, 0.0]).view(1, 1, 2, 2)
    actual, wanted = torch.ones(2, 3, 1, 1), torch.tensor([1.0, 5.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    # 6 from the images of both; 0 and 3 × 4 from the features
    expected = torch.tensor([0.9 * 6, 0.9 * 6 + 0.1 * 12])
    torch.testing.assert_close(residual_losses(result, real, actual, wanted, 0.1), expected)


def test_closest_codes_minimises_each_loss_independently() -> None:
    expected = random_values(5, 3)

    def loss(codes: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        return (codes - to).abs().sum(1)

    begin = torch.zeros(5, 3)
    together = closest_codes(lambda codes: loss(codes, expected), begin, 300, 0.01)
    assert float(loss(together, expected).max()) < 0.1 * float(loss(begin, expected).min())
    assert torch.equal(begin, torch.zeros(5, 3))
    for i in range(5):
        alone = closest_codes(lambda codes, i=i: loss(codes, expected[i : i + 1]), begin[:1], 300, 0.01)
        torch.testing.assert_close(alone[0], together[i])
    # the first step of Adam has length lr, against the gradient
    once = closest_codes(lambda codes: loss(codes, expected), begin, 1, 0.01)
    torch.testing.assert_close(once, 0.01 * expected.sign(), rtol=1e-4, atol=0)


class Makes(nn.Module):
    """A generator of known images: code 0 is `first`, code 1 `second`, others are on the line through both."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.first + codes[:, :1] * (self.second - self.first)


def test_more_steps_find_closer_images(bank: Bank) -> None:
    """With a generator that can make the images. All images of an untrained one are equally far, within 1e-5."""
    detector, test = learned(bank, search_lr=0.02), bank.select(split="test")
    test = test.take((test.frame["label"] == "normal").to_numpy())
    features = detector.context.features.get(detector.front_end, test)
    scaled, actual = detector._scale(torch.from_numpy(np.array(features.clip(0)))), []
    detector._nets.generator = Makes(scaled[:128].T, scaled[4:132].T)
    for detector.steps in (1, 10, 40):
        actual.append(float(detector.score(test)["loss_mean"][0]))
    assert actual[1] < 0.9 * actual[0]
    assert actual[2] < 0.9 * actual[1]


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_what_the_generator_can_make_is_normal_and_anything_else_is_anomalous(bank: Bank, weight: float) -> None:
    detector, test = learned(bank, weight=weight, steps=60, search_lr=0.05), bank.select(split="test")
    normal = (test.frame["label"] == "normal").to_numpy()
    features = detector.context.features.get(detector.front_end, test.take(normal))
    scaled = detector._scale(torch.from_numpy(np.array(features.clip(0))))
    detector._nets.generator = Makes(scaled[:128].T, scaled[4:132].T)
    actual = detector.score(test)
    detector.steps = 1
    for variant, once in detector.score(test).items():
        assert actual[variant][normal].max() < 0.2 * actual[variant][~normal].min()  # a step overshoots code 1
        assert actual[variant][normal].max() < 0.2 * once[normal].max()


def test_scores_are_the_remaining_losses_of_the_windows(bank: Bank) -> None:
    detector, test = learned(bank, weight=0.3), bank.select(split="test")
    scores, features = detector.score(test), detector.context.features.get(detector.front_end, test)
    low, high, nets = detector._scale.low, detector._scale.high, detector._nets
    for i in range(len(test)):
        scaled = 2 * (torch.from_numpy(np.array(features.clip(i))) - low) / (high - low) - 1
        real = torch.stack([scaled[positions : positions + 128].T[None] for positions in (0, 4)])
        codes = torch.zeros(2, 4, requires_grad=True)
        adam, left = torch.optim.Adam([codes], lr=0.1), []
        for _ in range(3 + 1):
            result = nets.generator(codes.view(2, 4, 1, 1))
            differences = (nets.discriminator.features(result) - nets.discriminator.features(real)).abs().sum((1, 2, 3))
            left.append(0.7 * (result - real).abs().sum((1, 2, 3)) + 0.3 * differences)
            adam.zero_grad()
            left[-1].sum().backward()
            adam.step()
        assert scores["loss_mean"][i] == pytest.approx(float(left[3].detach().mean()), rel=1e-4)
        assert scores["loss_max"][i] == pytest.approx(float(left[3].detach().max()), rel=1e-4)
        assert scores["loss_mean"][i] < scores["loss_max"][i]


def test_a_score_does_not_depend_on_what_is_searched_beside_it(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, clips = learned(bank, steps=10), bank.select()
    together = detector.score(clips)
    monkeypatch.setattr(module, "SEARCH_BATCH", 3)
    in_parts, alone = detector.score(clips), [detector.score(clips.take([i])) for i in range(len(clips))]
    for variant, values in together.items():
        np.testing.assert_allclose(in_parts[variant], values, rtol=1e-4)
        np.testing.assert_allclose(np.concatenate([each[variant] for each in alone]), values, rtol=1e-4)


def test_both_nets_learn_and_scoring_leaves_no_trace(bank: Bank, seed_alone_decides: Any) -> None:
    test, during = bank.select(split="test"), AnoGan(Context(seed=1), **SMALL)
    before = during._new_nets().state_dict()
    for progress in during.fit(bank.select(split="train")):
        assert set(progress.losses) == {"generator", "discriminator"}
        assert all(map(math.isfinite, progress.losses.values()))
        during.score(test)
        assert all(each.requires_grad for each in during._nets.parameters())
    assert all(not torch.equal(before[name], value) for name, value in during._nets.named_parameters())
    seed_alone_decides(lambda seed: AnoGan(Context(seed=seed), **SMALL), bank)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"hop": 0}, "hop of AnoGan must be a whole number of at least 1 but got 0"),
        ({"score_hop": 0}, "score_hop of AnoGan must be a whole number of at least 1"),
        ({"steps": 0}, "steps of AnoGan must be a whole number of at least 1"),
        ({"search_lr": 0.0}, "search_lr of AnoGan must be above 0"),
        ({"weight": 1.1}, r"weight of AnoGan must be in \[0, 1\]"),
        ({"beta1": 1.0}, r"beta1 of AnoGan must be in \[0, 1\)"),
        ({"lr": 0.0}, "lr of AnoGan must be above 0"),
        ({"batch_size": 1}, "batch_size of AnoGan must be a whole number of at least 2"),
    ],
)
def test_an_invalid_parameter_is_named(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        AnoGan(Context(), **parameter)
