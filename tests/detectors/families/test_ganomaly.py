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
from asd_ray.detectors.families.ganomaly import Ganomaly
from asd_ray.detectors.parts import pictures
from asd_ray.detectors.parts.backends import BACKENDS
from asd_ray.errors import AsdRayError
from asd_ray.features import windows_of

SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 4, "channels": 2, "latent": 4, "hop": 2}


@pytest.fixture
def bank(dataset: Callable[..., Path]) -> Bank:
    """4 training and 2 test clips of 132 frames: 3 windows at hop 2."""
    return open_bank(dataset(clips=4, seconds=4.2))


def learned(bank: Bank, **changes: Any) -> Ganomaly:
    detector = Ganomaly(Context(), **{**SMALL, **changes})
    for _ in detector.fit(bank.select(split="train")):
        pass
    return detector


def random_values(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_nets_have_the_parameters_of_the_paper() -> None:
    nets = Ganomaly(Context())._new_nets()
    # 4×4 convolutions 1-64-128-256-512-1024; weight and bias for each channel of the norms, of which the first has none
    trunk = 16 * (64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1024) + 2 * (128 + 256 + 512 + 1024)
    code, verdict = 16 * 1024 * 100, 16 * 1024
    parts = (nets.generator.encoder, nets.generator.decoder, nets.generator.again, nets.discriminator)
    assert [sum(each.numel() for each in part.parameters()) for part in parts] == [
        trunk + code,
        trunk + code + 2 * 64,  # the decoder has one norm more
        trunk + code,
        trunk + verdict,
    ]
    nets, real = nets.eval(), random_values(1, 1, 128, 128)
    result, first, second = nets.generator(real)
    assert result.shape == real.shape
    assert first.shape == second.shape == (1, 100)
    assert nets.discriminator.features(real).shape == (1, 1024, 4, 4)
    assert nets.discriminator(real).shape == (1,)
    assert {each.negative_slope for each in nets.modules() if isinstance(each, nn.LeakyReLU)} == {0.2}


def test_the_two_encoders_have_different_initial_weights() -> None:
    generator = Ganomaly(Context(), **SMALL)._new_nets().generator
    assert not torch.equal(generator.encoder[0].weight, generator.again[0].weight)


def test_a_step_follows_the_losses_of_the_paper() -> None:
    """The gradients after a step are those of the three losses, then of the discriminator's."""
    detector, real = Ganomaly(Context(), **SMALL, w_adv=2.0, w_con=30.0, w_enc=3.0), random_values(3, 1, 128, 128)
    nets = detector._new_nets()
    before = copy.deepcopy(nets)
    losses = detector._step(nets, lambda positions: real[positions])(torch.arange(3))

    code = before.generator.encoder(real)
    result = before.generator.decoder(code)
    code_made, trunk = before.generator.again(result), before.discriminator.features
    adversarial = (trunk(real) - trunk(result)).square().mean()
    context, encoder = (real - result).abs().mean(), (code - code_made).square().mean()
    slopes = torch.autograd.grad(2 * adversarial + 30 * context + 3 * encoder, list(before.generator.parameters()))
    chances = [before.discriminator(each).sigmoid() for each in (real, result.detach())]
    judged = -(chances[0].log().mean() + (1 - chances[1]).log().mean()) / 2
    judged.backward()

    expected = {"adversarial": adversarial, "context": context, "encoder": encoder, "discriminator": judged}
    assert set(losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-7)
    for each, slope in zip(nets.generator.parameters(), slopes, strict=True):
        torch.testing.assert_close(each.grad, slope, rtol=1e-3, atol=1e-5)
    assert float(slopes[0].abs().max()) > 1e-3  # far above the tolerance
    for own, other in zip(nets.discriminator.parameters(), before.discriminator.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("loss", "begins_again"), [(9e-6, True), (2e-5, False)])
def test_a_discriminator_without_mistakes_is_reset(
    loss: float, begins_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, real = Ganomaly(Context(), **SMALL), random_values(3, 1, 128, 128)
    nets, mistaken = detector._new_nets(), pictures.discriminator_loss
    before = copy.deepcopy(nets.discriminator.state_dict())
    step = detector._step(nets, lambda positions: real[positions])

    def small(of_real: torch.Tensor, of_fake: torch.Tensor) -> torch.Tensor:
        found = mistaken(of_real, of_fake)
        return found - found.detach() + loss

    step(torch.arange(3))
    assert not _equal(before, nets.discriminator.state_dict())
    monkeypatch.setattr(pictures, "discriminator_loss", small)
    step(torch.arange(3))
    assert _equal(before, nets.discriminator.state_dict()) == begins_again


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_scores_match_those_of_single_windows(bank: Bank) -> None:
    detector, test = learned(bank), bank.select(split="test")
    scores, features = detector.score(test), detector.context.features.get(detector.front_end, test)
    low, high, generator = detector._scale.low, detector._scale.high, detector._generator
    for i in range(len(test)):
        scaled = 2 * (torch.from_numpy(np.array(features.clip(i))) - low) / (high - low) - 1
        real = torch.stack([scaled[positions : positions + 128].T[None] for positions in (0, 2, 4)])
        code = generator.encoder(real)
        result = generator.decoder(code)
        of_codes = (code - generator.again(result)).square().mean((1, 2, 3)).detach()
        of_pictures = (result - real).abs().mean((1, 2, 3)).detach()
        for name, differences in (("z", of_codes), ("x", of_pictures)):
            assert scores[f"{name}_mean"][i] == pytest.approx(float(differences.mean()), rel=1e-3)
            assert scores[f"{name}_max"][i] == pytest.approx(float(differences.max()), rel=1e-3)
            assert scores[f"{name}_mean"][i] < scores[f"{name}_max"][i]


def test_all_parts_are_trained(bank: Bank) -> None:
    # after 2 epochs of 3 steps the loss has fallen by half a percent only, which depends on the seed
    detector = Ganomaly(Context(), **{**SMALL, "epochs": 12, "lr": 0.002})
    before = detector._new_nets().generator.state_dict()
    losses = [progress.losses for progress in detector.fit(bank.select(split="train"))]
    weights = dict(detector._generator.named_parameters())
    assert all(not torch.equal(before[name], value) for name, value in weights.items())
    assert all(math.isfinite(value) for each in losses for value in each.values())
    assert losses[-1]["context"] < 0.9 * losses[0]["context"]


def test_the_same_seed_gives_the_same_scores_also_if_scored_between_epochs(bank: Bank, seed_alone_decides: Any) -> None:
    seed_alone_decides(lambda seed: Ganomaly(Context(seed=seed), **SMALL), bank)


def test_the_scale_is_that_of_training_works_in_place_and_clips_nothing() -> None:
    scale = pictures.Scale.fit(torch.tensor([[-3.0, 5.0], [1.0, 2.0]]))
    assert (scale.low, scale.high) == (-3.0, 5.0)
    frames = torch.tensor([[-3.0, 5.0], [1.0, 9.0]])
    assert scale(frames) is frames
    torch.testing.assert_close(frames, torch.tensor([[-1.0, 1.0], [0.0, 2.0]]))
    silence = torch.full((2, 2), -100.0)
    assert torch.equal(pictures.Scale.fit(silence)(silence), torch.zeros(2, 2))


@pytest.mark.parametrize("most", [1, 2, 100])
def test_windows_are_measured_in_order_for_any_chunk_size(most: int) -> None:
    frames, windows = random_values(270, 128), windows_of([132, 138], 128, 2)
    actual = pictures.measure_windows(lambda real: real[:, 0, 3, 5], frames, windows, most)
    assert torch.equal(actual, torch.stack([frames[positions + 5, 3] for positions in windows.start]))
    assert len(pictures.measure_windows(lambda real: real, frames[:0], windows_of([], 128), most)) == 0


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"hop": 0}, "hop of Ganomaly must be a whole number of at least 1 but got 0"),
        ({"channels": 0}, "channels of Ganomaly must be a whole number of at least 1"),
        ({"latent": 1.5}, "latent of Ganomaly must be a whole number of at least 1"),
        ({"w_adv": -1.0}, "w_adv of Ganomaly must be 0 or more"),
        ({"w_adv": 0.0, "w_con": 0.0, "w_enc": 0.0}, "w_con of Ganomaly must be above 0 where w_adv and w_enc are 0"),
        ({"beta1": 1.0}, r"beta1 of Ganomaly must be in \[0, 1\)"),
        ({"lr": 0.0}, "lr of Ganomaly must be above 0"),
        ({"batch_size": 1}, "batch_size of Ganomaly must be a whole number of at least 2"),
    ],
)
def test_an_invalid_parameter_is_named(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        Ganomaly(Context(), **parameter)


def test_backends_compare_the_mean_codes_and_leave_the_other_scores_as_they_are(bank: Bank) -> None:
    test, more, plain = bank.select(split="test"), learned(bank, backends="cos,knn,pca"), learned(bank)
    scores, codes = more.score(test), more.embeddings(test)["code"]
    assert set(scores) == {"z_mean", "z_max", "x_mean", "x_max", "cos", "knn", "pca"}
    for name, values in plain.score(test).items():
        np.testing.assert_array_equal(scores[name], values)
    known = torch.from_numpy(more.embeddings(bank.select(split="train"))["code"])
    for name in ("cos", "knn", "pca"):
        fitted = BACKENDS[name].learn(known, torch.zeros(len(known), dtype=torch.bool), 0)
        np.testing.assert_allclose(scores[name], BACKENDS[name].score(fitted, torch.from_numpy(codes)), rtol=1e-6)
    frames = torch.from_numpy(np.array(more.context.features.get(more.front_end, test).clip(0)))
    images = torch.stack([more._scale(frames)[at : at + 128].T[None] for at in (0, 2, 4)])
    with torch.inference_mode():
        expected = more._generator.encoder(images).flatten(1).mean(0)
    np.testing.assert_allclose(codes[0], expected.numpy(), rtol=1e-3, atol=1e-6)


def test_backends_are_in_the_state_if_there_are_some(bank: Bank) -> None:
    test, more = bank.select(split="test"), learned(bank, backends="knn_dn")
    again = Ganomaly(Context(), **SMALL, backends="knn_dn")
    again.load(more.state())
    np.testing.assert_array_equal(again.score(test)["knn_dn"], more.score(test)["knn_dn"])
    assert set(learned(bank).state()) == {"generator", "scale"}  # as earlier versions stored it


def test_backends_follow_the_training(bank: Bank) -> None:
    test, detector = bank.select(split="test"), Ganomaly(Context(), **SMALL, backends="knn")
    values = [detector.score(test)["knn"] for _ in detector.fit(bank.select(split="train"))]
    assert not np.array_equal(values[0], values[1])
    np.testing.assert_array_equal(detector.score(test)["knn"], values[1])
