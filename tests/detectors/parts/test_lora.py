from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from asd_ray.detectors.parts.lora import AdaptedLinear, LowRank, adapt, layers_to_adapt
from asd_ray.errors import AsdRayError

WIDTH = 16


class Attention(nn.Module):
    """Fused queries, keys and values, as most encoders have them; `gate` is a small layer, as in BEATs."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out_proj, self.gate = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, frames: Tensor) -> Tensor:
        query, key, value = self.qkv(frames).chunk(3, -1)
        mixture = torch.softmax(query @ key.mT / WIDTH**0.5, -1) @ value
        return linear(mixture, self.out_proj.weight, self.out_proj.bias) * self.gate(frames).sigmoid()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = Attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, frames: Tensor) -> Tensor:
        frames = frames + self.attention(self.norm(frames))
        output: Tensor = frames + self.mlp(frames)
        return output


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(8, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, inputs: Tensor) -> Tensor:
        frames = self.projection(inputs)
        for block in self.blocks:
            frames = block(frames)
        assert isinstance(frames, Tensor)
        return frames


@pytest.fixture
def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))


ATTENTION = [f"blocks.{block}.attention.{name}" for block in (0, 1) for name in ("qkv", "out_proj")]


def taught(net: Net, adapters: nn.ModuleDict, inputs: Tensor) -> None:
    """A few steps towards other outputs."""
    adam = torch.optim.Adam([weight for weight in net.parameters() if weight.requires_grad], lr=0.01)
    assert sum(len(group["params"]) for group in adam.param_groups) == len(list(adapters.parameters()))
    for _ in range(3):
        adam.zero_grad()
        net(inputs).square().mean().backward()
        adam.step()


@pytest.mark.parametrize("places", ["attention", "blocks"])
@pytest.mark.parametrize("rank", [0, 2])
def test_before_training_it_is_the_frozen_net(net: Net, inputs: Tensor, rank: int, places: str) -> None:
    frozen = copy.deepcopy(net)
    adapters = adapt(net, rank, 4.0, places)
    assert bool(adapters) == (rank > 0)
    assert torch.equal(net(inputs), frozen(inputs))


def test_rank_0_has_nothing_to_train(net: Net) -> None:
    assert list(adapt(net, 0, 1.0).parameters()) == []
    assert not any(weight.requires_grad for weight in net.parameters())


def test_which_layers_are_adapted(net: Net) -> None:
    in_mlp = [f"blocks.{block}.mlp.{number}" for block in (0, 1) for number in (0, 2)]
    assert layers_to_adapt(net, 2) == ATTENTION
    assert sorted(layers_to_adapt(net, 2, "blocks")) == sorted(ATTENTION + in_mlp)
    adapters = adapt(net, 2, 1.0)
    assert [name.replace("/", ".") for name in adapters] == ATTENTION
    assert all(isinstance(net.get_submodule(name), AdaptedLinear) for name in ATTENTION)


def test_training_changes_the_matrices_alone_and_with_them_the_net(net: Net, inputs: Tensor) -> None:
    frozen = copy.deepcopy(net)
    adapters = adapt(net, 2, 4.0)
    taught(net, adapters, inputs)
    assert all(bool((module.get_parameter("up") != 0).any()) for module in adapters.values())
    before = frozen.state_dict()
    after = {name.replace(".frozen.", "."): value for name, value in net.state_dict().items() if "low_rank" not in name}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.allclose(net(inputs), frozen(inputs))


def test_the_formula(net: Net, inputs: Tensor) -> None:
    """The adapted net is the frozen one with W + (alpha / rank) B A in place of W, however attention reads W."""
    by_hand = copy.deepcopy(net)
    adapters = adapt(net, 2, 6.0, "blocks")
    taught(net, adapters, inputs)
    for name, low_rank in adapters.items():
        layer, up, down = (
            by_hand.get_submodule(name.replace("/", ".")),
            low_rank.get_parameter("up"),
            low_rank.get_parameter("down"),
        )
        assert isinstance(layer, nn.Linear)
        layer.weight.data += 6.0 / 2 * up.detach() @ down.detach()
    torch.testing.assert_close(net(inputs), by_hand(inputs))


def test_the_matrices_are_all_that_has_to_be_stored(net: Net, inputs: Tensor) -> None:
    again = copy.deepcopy(net)
    adapters = adapt(net, 2, 4.0)
    taught(net, adapters, inputs)
    same = adapt(again, 2, 4.0)
    same.load_state_dict(adapters.state_dict())
    assert torch.equal(again(inputs), net(inputs))
    count = sum(value.numel() for value in adapters.state_dict().values())
    assert count == 2 * 2 * (WIDTH + 3 * WIDTH + WIDTH + WIDTH)  # blocks · rank · (both sides of both layers)


def test_a_low_rank_layer_has_the_rank(net: Net) -> None:
    low_rank = LowRank(16, 24, 3, 1.0)
    nn.init.normal_(low_rank.up)
    assert int(torch.linalg.matrix_rank(low_rank.product())) == 3


@pytest.mark.parametrize(("rank", "names"), [(7, 4), (8, 2), (11, 2)])
def test_layers_smaller_than_their_matrices_get_none(net: Net, rank: int, names: int) -> None:
    """out_proj has 256 weights and matrices of 32 · rank; qkv has 768 and 64 · rank."""
    assert len(layers_to_adapt(net, rank)) == names


@pytest.mark.parametrize("places", ["attention", "blocks"])
def test_a_net_without_such_layers_is_an_error(places: str) -> None:
    with pytest.raises(AsdRayError, match="Sequential has no .* of rank 2, so LoRA cannot adapt it; lower rank, or"):
        adapt(nn.Sequential(nn.Linear(2, 2)), 2, 1.0, places)
