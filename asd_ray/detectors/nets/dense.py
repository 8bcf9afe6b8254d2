"""Dense nets, and the gradients of their mean squared error without autograd.

A step of so small a net costs autograd as much time as the arithmetic does. Its layers are always the same three, so on
a CPU their gradients are written out: the same kernels in the same order, and a quarter of a step saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

Slopes = Callable[[Tensor, Tensor], Tensor]  # what goes in, what should come out -> mean squared error; sets gradients

_below_zero = torch.ops.aten.threshold_backward.default
_normalised = torch.ops.aten.native_batch_norm_backward.default


class DenseNet(nn.Sequential):
    """Linear, batch normalisation and ReLU for each hidden width, then a Linear to `outputs`.

    Normalisation takes away whatever bias came before it, whose gradient is nothing but rounding: these biases stay as
    they were drawn.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, *, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            linear, norm = nn.Linear(inputs, width), nn.BatchNorm1d(width, eps=eps, momentum=momentum)
            linear.bias.requires_grad_(False)
            layers += [linear, norm, nn.ReLU(inplace=True)]  # norm's backward needs its input, not its output
            inputs = width
        super().__init__(*layers, nn.Linear(inputs, outputs))

    def glorot(self) -> None:
        """Initial weights as Keras draws them: uniform within sqrt(6 / (in + out)), biases zero."""
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


def flattened(net: nn.Module) -> tuple[Tensor, Tensor]:
    """One vector of all weights that learn and one of their gradients, of which those of the net become views.

    An optimiser then has one tensor to step instead of thirty: the same numbers, a tenth of a step's time saved.
    """
    own = [each for each in net.parameters() if each.requires_grad]
    weights = torch.cat([each.detach().reshape(-1) for each in own]).requires_grad_()
    weights.grad = gradients = torch.zeros_like(weights)
    sizes = [each.numel() for each in own]
    for each, values, slopes in zip(
        own, torch.split(weights.detach(), sizes), torch.split(gradients, sizes), strict=True
    ):
        each.data, each.grad = values.view_as(each), slopes.view_as(each)
    return weights, gradients


def by_autograd(net: DenseNet, gradients: Tensor) -> Slopes:
    def step(given: Tensor, wanted: Tensor) -> Tensor:
        loss = mse_loss(net(given), wanted)
        gradients.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


def by_hand(net: DenseNet) -> Slopes:
    """As `by_autograd`, in float32, of a flattened net in training mode. The counters of batches stay at 0."""
    *linears, last = (each for each in net if isinstance(each, nn.Linear))
    norms = [each for each in net if isinstance(each, nn.BatchNorm1d)]

    @torch.no_grad()
    def step(given: Tensor, wanted: Tensor) -> Tensor:
        passed, value = [], given
        for linear, norm in zip(linears, norms, strict=True):
            before = torch.addmm(linear.bias, value, linear.weight.t())
            average = norm.running_mean, norm.running_var, True, norm.momentum or 0.0, norm.eps
            value, mean, spread = torch.native_batch_norm(before, norm.weight, norm.bias, *average)
            passed.append((before, mean, spread, value.relu_()))
        slope = torch.addmm(last.bias, value, last.weight.t()).sub_(wanted)
        loss = slope.square().mean()
        slope *= 2 / slope.numel()
        torch.sum(slope, 0, out=last.bias.grad)
        above = last
        for linear, norm, (before, mean, spread, after) in zip(linears[::-1], norms[::-1], passed[::-1], strict=True):
            torch.mm(slope.t(), after, out=above.weight.grad)
            slope = _below_zero(slope.mm(above.weight), after, 0)
            known = norm.weight, None, None, mean, spread, True, norm.eps, (True, True, True)
            slope, of_weight, of_bias = _normalised(slope, before, *known)
            _gradient(norm.weight).copy_(of_weight)
            _gradient(norm.bias).copy_(of_bias)
            above = linear
        torch.mm(slope.t(), given, out=above.weight.grad)
        return loss

    return step


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad
