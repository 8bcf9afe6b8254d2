"""Low-rank layers: a frozen net learns by small matrices beside its linear layers.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022. A linear layer W x becomes
W x + (alpha / rank) B A x. W stays as it is; A [rank, inputs] and B [outputs, rank] are trained. B starts at zero, so
before training the net is exactly the frozen one. With rank 0 it is the frozen net for good.

Chosen here: which layers get matrices. They are the linear layers inside the repeated blocks of a net, of which names
are numbers, such as ``layers.0.attention.k_proj``. With "attention" only those whose path has a part with "att" in it.
A layer that is smaller than its two matrices would be gets none: a gate of a few units gains nothing from them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from asd_ray.errors import AsdRayError

PLACES = ("attention", "blocks")  # which linear layers get matrices: those of attention, or all in the blocks


class LowRank(nn.Module):
    """The two matrices of one linear layer: all of it that is trained and stored."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.factor = alpha / rank
        self.down = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=math.sqrt(5)))
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        return linear(linear(inputs, self.down), self.up) * self.factor

    def product(self) -> Tensor:
        """What is added to the weight of the layer, [outputs, inputs]."""
        return self.up @ self.down * self.factor


class AdaptedLinear(nn.Module):
    """A frozen linear layer with a `LowRank` beside it, in the place of that layer.

    Some attention takes the `weight` of its layers instead of calling them. It gets the sum of both.
    """

    def __init__(self, frozen: nn.Linear, low_rank: LowRank) -> None:
        super().__init__()
        self.frozen, self.low_rank = frozen, low_rank

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.frozen(inputs) + self.low_rank(inputs)
        return output

    @property
    def weight(self) -> Tensor:
        return self.frozen.weight + self.low_rank.product()

    @property
    def bias(self) -> Tensor | None:
        return self.frozen.bias

    @property
    def in_features(self) -> int:
        return self.frozen.in_features

    @property
    def out_features(self) -> int:
        return self.frozen.out_features


def adapt(net: nn.Module, rank: int, alpha: float, places: str = "attention") -> nn.ModuleDict:
    """Freeze `net` and put low-rank layers beside its linear layers. Returns these, by the names of the layers.

    Their state and their parameters are all that training changes. ``rank=0`` only freezes. A net without such layers
    is an AsdRayError.
    """
    net.requires_grad_(False)
    adapters = nn.ModuleDict()
    if rank == 0:
        return adapters
    for name in layers_to_adapt(net, rank, places):
        layer = net.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        low_rank = LowRank(layer.in_features, layer.out_features, rank, alpha).to(layer.weight.device)
        net.set_submodule(name, AdaptedLinear(layer, low_rank))
        adapters[name.replace(".", "/")] = low_rank  # a ModuleDict refuses names with dots
    return adapters


def layers_to_adapt(net: nn.Module, rank: int, places: str = "attention") -> list[str]:
    """The names of the linear layers that `adapt` changes."""
    linears = {
        name: layer
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Linear) and any(part.isdecimal() for part in name.split("."))
    }
    if places == "attention":
        linears = {name: layer for name, layer in linears.items() if _is_attention(name)}
    names = [name for name, layer in linears.items() if _is_worth_it(layer, rank)]
    if not names:
        what = "attention layers" if places == "attention" else "linear layers in numbered blocks"
        raise AsdRayError(
            f"{type(net).__name__} has no {what} that are larger than matrices of rank {rank}, so LoRA cannot adapt "
            "it; lower rank, or set tune to 'all' or 'head'"
        )
    return names


def _is_attention(name: str) -> bool:
    return any("att" in part.lower() for part in name.split("."))


def _is_worth_it(layer: nn.Linear, rank: int) -> bool:
    return rank * (layer.in_features + layer.out_features) < layer.in_features * layer.out_features
