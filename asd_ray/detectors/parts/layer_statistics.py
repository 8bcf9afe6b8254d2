"""What the layer normalisations of a net normalise: the mean and standard deviation of each layer, for each sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def layer_statistics(net: nn.Module, run: Callable[[Tensor], object], samples: Tensor) -> Tensor:
    """[n, 2 · layers]: the means of all layer normalisations in `net`, in the order of the call, then their deviations.

    `run(samples)` calls each layer once. The net is not changed.
    """
    means, deviations = list[Tensor](), list[Tensor]()

    def collect(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].float().flatten(1)
        means.append(values.mean(1))
        deviations.append(values.std(1, correction=0))

    layers = [module for module in net.modules() if isinstance(module, nn.LayerNorm)]
    hooks = [layer.register_forward_pre_hook(collect) for layer in layers]
    try:
        run(samples)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([*means, *deviations], 1)
