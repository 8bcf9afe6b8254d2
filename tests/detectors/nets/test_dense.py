from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from asd_ray.detectors import Context
from asd_ray.detectors.nets.dense import DenseNet, autograd_step, flatten_parameters, manual_step
from asd_ray.detectors.parts import training


@pytest.mark.parametrize("hidden", [[], [3], [16, 2, 16]], ids=str)
@pytest.mark.parametrize("count", [2, 50])
def test_manual_gradients_match_autograd(hidden: list[int], count: int) -> None:
    torch.manual_seed(0)
    net = DenseNet(6, hidden, 4, momentum=0.3, eps=1e-3).double()
    twin = copy.deepcopy(net)
    (_, ours), (_, theirs) = flatten_parameters(net), flatten_parameters(twin)
    inputs, expected = torch.randn(2, count, 6).double()
    expected = expected[:, :4]
    hand, auto = manual_step(net), autograd_step(twin, theirs)
    for _ in range(2):  # what remains of the first step must have no effect
        assert float(hand(inputs, expected)) == pytest.approx(float(auto(inputs, expected)), rel=1e-12)
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
        assert float(theirs.abs().max()) > 0
    for norm, other in zip(net, twin, strict=True):
        if isinstance(norm, nn.BatchNorm1d) and isinstance(other, nn.BatchNorm1d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert torch.allclose(norm.running_mean, other.running_mean)
            assert torch.allclose(norm.running_var, other.running_var)
            assert float(norm.running_mean.abs().max()) > 0


def test_a_bias_before_normalisation_has_no_gradient_in_autograd() -> None:
    torch.manual_seed(0)
    net = DenseNet(6, [8], 4).double()
    for weight in net.parameters():
        weight.requires_grad_()
    inputs = torch.randn(50, 6).double()
    (net(inputs) - inputs[:, :4]).square().mean().backward()
    assert isinstance(net[0], nn.Linear)
    assert net[0].bias.grad is not None
    assert net[0].weight.grad is not None
    assert float(net[0].bias.grad.abs().max()) < 1e-12 < float(net[0].weight.grad.abs().max())


def test_training_matches_plain_torch() -> None:
    torch.manual_seed(0)
    frames, every = torch.randn(32, 4), torch.arange(32)
    net, plain = (training.build_with_seed(lambda: DenseNet(4, [8], 4), Context()) for _ in range(2))
    settings = training.TrainingSettings(epochs=3, batch_size=32, lr=0.01)
    list(training.train(net, lambda positions: (frames, frames), every, every[:0], settings, Context().generator()))
    optimiser = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(3):
        optimiser.zero_grad()
        (plain(frames) - frames).square().mean().backward()
        optimiser.step()
    for own, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(own, theirs, atol=1e-5)
    assert torch.allclose(net.eval()(frames), plain.eval()(frames), atol=1e-5)
