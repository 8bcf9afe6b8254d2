"""Dense nets, and the gradients of their mean squared error without autograd.

In a net this small, autograd takes as long as the arithmetic. The layers are always the same three, so on a CPU their
gradients are written out: the same kernels in the same order, and a quarter of a training step is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

GradientStep = Callable[[Tensor, Tensor], Tensor]  # inputs, targets -> mean squared error; sets the gradients

_relu_backward = torch.ops.aten.threshold_backward.default
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward.default


class DenseNet(nn.Sequential):
    """Linear, batch normalisation and ReLU for each hidden width, then a Linear to `outputs`.

    Batch normalisation removes any bias before it, so the gradient of such a bias is only rounding: these biases keep
    their initial values.
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
        """Set the initial weights as Keras does: uniform within sqrt(6 / (in + out)), biases zero."""
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


def flatten_parameters(net: nn.Module) -> tuple[Tensor, Tensor]:
    """One vector of all trainable weights and one of their gradients; the net's own tensors become views of them.

    An optimiser then updates one tensor instead of thirty: the same numbers, and a tenth of a step's time saved.
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    weights = torch.cat([parameter.detach().reshape(-1) for parameter in parameters]).requires_grad_()
    weights.grad = gradients = torch.zeros_like(weights)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, values, gradient in zip(
        parameters, torch.split(weights.detach(), sizes), torch.split(gradients, sizes), strict=True
    ):
        parameter.data, parameter.grad = values.view_as(parameter), gradient.view_as(parameter)
    return weights, gradients


def autograd_step(net: DenseNet, gradients: Tensor) -> GradientStep:
    """The gradient step of autograd. `gradients` are those of `flatten_parameters`."""

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        loss = mse_loss(net(inputs), targets)
        gradients.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return step


def manual_step(net: DenseNet) -> GradientStep:
    """As `autograd_step`, in float32. The net must be flattened and in training mode.

    The batch counters of the normalisations stay at 0.
    """
    *linears, last = (layer for layer in net if isinstance(layer, nn.Linear))
    norms = [layer for layer in net if isinstance(layer, nn.BatchNorm1d)]

    @torch.no_grad()
    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        saved, activations = [], inputs
        for linear, norm in zip(linears, norms, strict=True):
            pre_norm = torch.addmm(linear.bias, activations, linear.weight.t())
            statistics = norm.running_mean, norm.running_var, True, norm.momentum or 0.0, norm.eps
            activations, mean, inverse_deviation = torch.native_batch_norm(
                pre_norm, norm.weight, norm.bias, *statistics
            )
            saved.append((pre_norm, mean, inverse_deviation, activations.relu_()))
        gradient = torch.addmm(last.bias, activations, last.weight.t()).sub_(targets)
        loss = gradient.square().mean()
        gradient *= 2 / gradient.numel()
        torch.sum(gradient, 0, out=last.bias.grad)
        next_linear = last
        for linear, norm, (pre_norm, mean, inverse_deviation, output) in zip(
            linears[::-1], norms[::-1], saved[::-1], strict=True
        ):
            torch.mm(gradient.t(), output, out=next_linear.weight.grad)
            gradient = _relu_backward(gradient.mm(next_linear.weight), output, 0)
            arguments = norm.weight, None, None, mean, inverse_deviation, True, norm.eps, (True, True, True)
            gradient, weight_gradient, bias_gradient = _batch_norm_backward(gradient, pre_norm, *arguments)
            _gradient(norm.weight).copy_(weight_gradient)
            _gradient(norm.bias).copy_(bias_gradient)
            next_linear = linear
        torch.mm(gradient.t(), inputs, out=next_linear.weight.grad)
        return loss

    return step


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad
