from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from asd_ray.clips.bank import Bank, open_bank
from asd_ray.detectors import Context
from asd_ray.detectors.families.group_made import GroupMade, GroupMadeNet, MixtureNll, degrees, negative_log_density
from asd_ray.detectors.nets.made import MaskedLinear, hidden_degrees, output_mask
from asd_ray.errors import AsdRayError
from asd_ray.features import vectors

SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 64, "hidden": 16, "bottleneck": 8, "components": 3}
ORDERS = {"middle": [1, 1, 2, 1, 1], "causal": [1, 2, 3, 4, 5]}


@pytest.fixture
def bank(dataset: Callable[..., Path]) -> Bank:
    return open_bank(dataset(clips=6))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def fitted(bank: Bank, **more: Any) -> GroupMade:
    detector = GroupMade(Context(), **SMALL | more)
    for _ in detector.fit(bank.select(split="train")):
        pass
    return detector


def shaken(net: GroupMadeNet) -> GroupMadeNet:
    """With random biases, and mixtures that depend on the inputs."""
    with torch.no_grad():
        for each in net.parameters():
            each.add_(torch.randn(each.shape).mul_(0.3))
    return net


def by_frame(net: GroupMadeNet, values: Tensor) -> Tensor:
    """[vectors, frames, 3, components, mels], frames in order of time."""
    groups = [each.expand(len(values), -1, -1, -1, -1) for each in net.mixtures(values)]
    return torch.cat(groups, 1)[:, net.in_time]


def log_density(values: Tensor, mixtures: Tensor) -> Tensor:
    """For mixtures [..., 3, components, mels], by torch's own distributions."""
    logits, means, log_sigmas = (each.transpose(-1, -2) for each in mixtures.unbind(-3))
    components = Normal(means, log_sigmas.clamp_min(-7).exp())
    actual: Tensor = MixtureSameFamily(Categorical(logits=logits), components).log_prob(values)
    return actual


@pytest.mark.parametrize("order", ORDERS)
def test_frames_have_the_degrees_of_the_report(order: str) -> None:
    assert degrees(order, 5) == ORDERS[order]


@pytest.mark.parametrize(
    ("order", "outer"),
    [
        ("middle", 4 * 3840 + 3840 * (128 + 1)),  # four frames of biases; 128 bins × 10 × 3, from all units
        ("causal", 3840 * (1 + 33 + 65 + 97 + 129)),  # 32 of 128 units have each degree
    ],
)
def test_the_net_has_the_parameters_of_the_report(order: str, outer: int) -> None:
    net = GroupMade(Context(), order=order)._new_net()
    shapes = [tuple(each.weight.shape) for each in net.hidden if isinstance(each, MaskedLinear)]
    widths = [640, 128, 128, 128, 128, 32, 128, 128, 128, 128]
    assert shapes == [(out, into) for into, out in zip(widths, widths[1:], strict=False)]
    assert [type(each).__name__ for each in net.hidden] == ["MaskedLinear", "ReLU"] * 9
    assert sum(each.numel() for each in by_frame(net, torch.zeros(1, 5, 128))) == 19_200
    # 82,048 + 3 × 16,512 + 4,128 + 4,224 + 3 × 16,512 of the hidden layers
    assert sum(each.numel() for each in net.parameters()) == 189_472 + outer


@pytest.mark.parametrize("order", ORDERS)
def test_a_frame_depends_on_those_before_it_in_the_order_and_no_other(order: str) -> None:
    net = GroupMadeNet(ORDERS[order], 3, [16, 8, 16], 2)
    for name, each in net.named_parameters():
        if not name.endswith("bias"):  # with positive weights no two paths cancel
            torch.nn.init.uniform_(each, 0.1, 1.0)
    jacobian = torch.autograd.functional.jacobian(lambda values: by_frame(net, values[None])[0], torch.rand(5, 3))
    place = torch.tensor(ORDERS[order])
    for out in range(5):
        for into in range(5):
            seen = jacobian[out, ..., into, :] != 0  # every output of every bin, from every bin
            assert bool(seen.all() if place[out] > place[into] else not seen.any()), (out, into)


@pytest.mark.parametrize("order", ORDERS)
def test_the_layers_by_group_equal_one_masked_layer(order: str) -> None:
    mels, widths, components = 4, [16, 8, 16], 3
    net = shaken(GroupMadeNet(ORDERS[order], mels, widths, components))
    each_frame, below = 3 * components * mels, hidden_degrees(widths[-1], max(ORDERS[order]))
    place = torch.tensor(ORDERS[order]).repeat_interleave(each_frame)
    whole = MaskedLinear(output_mask(below, place))
    for degree, head in enumerate([None, *net.heads], 1):
        rows = torch.nonzero(place == degree)[:, 0]
        whole.bias.data[rows] = (net.first if head is None else head.bias).detach().flatten()
        if head is not None:
            whole.weight.data[rows, : head.in_features] = head.weight.detach()
    values = torch.randn(7, 5, mels)
    with torch.no_grad():
        expected = whole(net.hidden(values.flatten(1))).view(7, 5, 3, components, mels)
        torch.testing.assert_close(by_frame(net, values), expected)
        torch.testing.assert_close(net(values.flatten(1)), -log_density(values, expected).sum(2))


@pytest.mark.parametrize(
    ("places", "step", "share"), [([1, 2], 0.05, 0.3), ([2, 1], 0.05, 0.3), ([1, 1], 0.05, 0.3), ([1, 2, 1], 0.25, 0.1)]
)
def test_the_density_integrates_to_one(places: list[int], step: float, share: float) -> None:
    net = shaken(GroupMadeNet(places, 1, [8, 4, 8], 3))
    rows = torch.cartesian_prod(*[torch.arange(-10.0, 10.0, step)] * len(places))
    with torch.no_grad():
        for head in net.heads:
            head.weight.mul_(share)  # every Gaussian is wider than the grid's step and inside the grid
        density = net(rows).sum(1).neg().double().exp()
        dependent = [float(each.std(0).max()) > 0.1 for each in net.mixtures(rows[..., None]) if len(each) > 1]
    assert dependent == [True] * len(net.heads)
    assert float(density.sum()) * step ** len(places) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("count", [1, 150])  # one mixture for all values, and one for each
def test_the_density_of_mixtures_and_its_gradient_match_autograd(count: int) -> None:
    values = 3 * torch.randn(150, 2, 4, dtype=torch.float64)
    mixtures = torch.randn(count, 2, 3, 5, 4, dtype=torch.float64)
    mixtures[:, :, 2] = torch.empty(count, 2, 5, 4).uniform_(-9, 2)  # below -7 they are clamped
    assert 0 < int((mixtures[:, :, 2] < -7).sum()) < mixtures[:, :, 2].numel()
    expected, actual = mixtures.clone().requires_grad_(), mixtures.clone().requires_grad_()
    weights = torch.rand(150, 2, dtype=torch.float64)
    costs = -log_density(values, expected).sum(2)
    torch.testing.assert_close(negative_log_density(values, actual), costs)
    torch.testing.assert_close(MixtureNll.apply(values, actual).sum(2), costs)
    (costs * weights).sum().backward()
    (negative_log_density(values, actual) * weights).sum().backward()
    assert expected.grad is not None
    scale = float(expected.grad.abs().max())
    torch.testing.assert_close(actual.grad / scale, expected.grad / scale, rtol=1e-9, atol=1e-12)
    clamped = actual.grad[:, :, 2][mixtures[:, :, 2] < -7]
    assert not clamped.any()


def test_far_values_and_narrow_gaussians_stay_finite() -> None:
    mixtures = torch.zeros(1, 1, 3, 4, 2)
    mixtures[:, :, 2] = -50.0
    mixtures.requires_grad_()
    actual = negative_log_density(torch.tensor([[[1e4, 0.0]], [[-1e4, 1e-3]]]), mixtures)
    actual.sum().backward()
    assert actual.isfinite().all()
    assert mixtures.grad is not None
    assert mixtures.grad.isfinite().all()


def test_bins_are_standardised_and_a_silent_one_is_not_divided_by_zero() -> None:
    net = GroupMadeNet([1, 2], 3, [4], 2)
    frames = torch.randn(1000, 3) * torch.tensor([5.0, 2.0, 0.0]) + torch.tensor([-40.0, 3.0, -156.5])
    net.standardise_by(frames)
    other = GroupMadeNet([1, 2], 3, [4], 2)
    other.load_state_dict({**net.state_dict(), "shift": torch.zeros(3), "spread": torch.ones(3)})
    standard = (frames - frames.mean(0)) / frames.std(0, correction=0).clamp_min(0.1)
    torch.testing.assert_close(net(vectors(frames, 2)), other(vectors(standard, 2)), rtol=1e-4, atol=1e-4)
    assert standard[:, :2].std(0).tolist() == pytest.approx([1, 1], rel=1e-2)
    assert float(standard[:, 2].abs().max()) < 0.01


def test_the_middle_frame_is_learned_from_its_neighbours() -> None:
    outer = torch.randn(500, 4, 2)
    middle = outer.mean(1, keepdim=True) + 0.05 * torch.randn(500, 1, 2)
    rows = torch.cat([outer[:, :2], middle, outer[:, 2:]], 1).flatten(1)
    net = GroupMadeNet(ORDERS["middle"], 2, [32, 32], 3)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        net(rows).sum(1).mean().backward()
        optimiser.step()
    costs = net(rows).detach().mean(0) / 2  # per bin; for a normal variable at best log(sigma) + 1.42
    assert float(costs[2]) == pytest.approx(np.log(0.05) + 1.42, abs=0.5)
    assert costs[[0, 1, 3, 4]].tolist() == pytest.approx([1.42] * 4, abs=0.05)


@pytest.mark.parametrize("order", ORDERS)
def test_scores_are_means_over_vectors_and_bins(bank: Bank, order: str) -> None:
    detector, test = fitted(bank, order=order), bank.select(split="test")
    scores = detector.score(test)
    net, features = detector._net, detector.context.features.get(detector.front_end, test)
    assert net is not None
    for i in range(len(test)):
        rows = vectors(torch.from_numpy(np.array(features.clip(i))), 5)
        values = (rows.view(-1, 5, 128) - net.shift) / net.spread
        with torch.no_grad():
            costs = -log_density(values, by_frame(net, values))
        assert scores["all"][i] == pytest.approx(float(costs.mean()), rel=1e-4)
        assert scores["middle"][i] == pytest.approx(float(costs[:, 2].mean()), rel=1e-4)


def test_the_same_seed_gives_the_same_scores_also_if_scored_between_epochs(bank: Bank, seed_alone_decides: Any) -> None:
    first, second = seed_alone_decides(lambda seed: GroupMade(Context(seed=seed), **SMALL, lr=0.01), bank)
    assert second["train"] < first["train"]  # with the paper's learning rate by 1 % only, because there are few steps


def test_the_score_of_a_clip_does_not_depend_on_other_clips(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, every = fitted(bank), bank.select()
    together = detector.score(every)
    monkeypatch.setattr("asd_ray.detectors.families.group_made.CHUNK", 7)  # vectors, fewer than a clip has
    for i in range(len(every)):
        for variant, values in detector.score(every.take([i])).items():
            np.testing.assert_allclose(values, together[variant][[i]], rtol=1e-5)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"frames": 4}, "frames of GroupMade must be odd but got 4"),
        ({"frames": 1}, "frames of GroupMade must be a whole number of at least 3"),
        ({"hidden": 3}, "hidden of GroupMade must be a whole number of at least 4"),
        ({"bottleneck": 3}, "bottleneck of GroupMade must be a whole number of at least 4"),
        ({"components": 0}, "components of GroupMade must be a whole number of at least 1"),
        ({"order": "backwards"}, "order of GroupMade must be 'middle' or 'causal' but got 'backwards'"),
        ({"lr": 0.0}, "lr of GroupMade must be above 0"),
        ({"batch_size": 1}, "batch_size of GroupMade must be a whole number of at least 2"),
    ],
)
def test_an_invalid_parameter_is_named(parameter: dict[str, Any], message: str) -> None:
    with pytest.raises(AsdRayError, match=message):
        GroupMade(Context(), **parameter)
