from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.nets.tuned_encoder import AttentiveStatistics, TunedEncoder
from asd_ray.errors import AsdRayError

WIDTH = 8


class Small(Encoder):
    """Frames of 100 samples at 1000 Hz through two blocks with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.rate, self.layers, self.width, self.longest = 1000, 2, WIDTH, 10_000
        self.first = nn.Linear(100, WIDTH)
        self.attention = nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)])
        self.dropout = nn.Dropout(0.5)

    def piece_frames(self, samples: int) -> int:
        return samples // 100

    def encode(self, waves: Tensor) -> list[Tensor]:
        frames, layers = self.first(waves.unflatten(1, (-1, 100))), []  # type: ignore[no-untyped-call]
        for layer in self.attention:
            frames = self.dropout(layer(frames).tanh())
            layers.append(frames)
        return layers


@pytest.fixture
def encoder() -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small()


@pytest.fixture
def waves() -> Tensor:
    return torch.randn(3, 500, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("layer", "number"), [(0.0, 0), (0.4, 0), (0.6, 1), (1.0, 1)])
def test_the_mean_of_a_layer(encoder: Small, waves: Tensor, layer: float, number: int) -> None:
    net = TunedEncoder(encoder, rate=1000, tune="lora", rank=1, layer=layer)
    assert net.train().training
    assert not encoder.training
    assert torch.equal(net(waves), encoder(waves)[:, number].mean(1))


@pytest.mark.parametrize(("tune", "count"), [("head", 0), ("lora", 2 * 2 * WIDTH), ("all", 101 * 8 + 2 * 9 * 8)])
def test_what_is_trained_and_stored(encoder: Small, tune: str, count: int) -> None:
    net = TunedEncoder(encoder, rate=1000, tune=tune, rank=1)
    assert sum(weight.numel() for weight in net.parameters() if weight.requires_grad) == count
    assert sum(value.numel() for value in net.state_dict().values()) == count


def test_blocks_beyond_the_layer_do_not_learn(encoder: Small, waves: Tensor) -> None:
    """A gradient of zeros would let weight decay change them."""
    net = TunedEncoder(encoder, rate=1000, tune="all", layer=0.0)
    net(waves).sum().backward()
    assert encoder.attention[0].weight.grad is not None
    assert encoder.attention[1].weight.grad is None


def test_waves_of_another_rate_are_resampled(encoder: Small) -> None:
    net = TunedEncoder(encoder, rate=2000, tune="head")
    fast, slow = (torch.sin(2 * math.pi * 50 * torch.arange(rate) / rate)[None] for rate in (2000, 1000))
    torch.testing.assert_close(net(fast), encoder.eval()(slow)[:, 1].mean(1), atol=1e-5, rtol=1e-4)


def test_a_projection_comes_last(encoder: Small, waves: Tensor) -> None:
    net = TunedEncoder(encoder, rate=1000, tune="head", pooling="attentive", projection=5)
    assert net(waves).shape == (3, net.width) == (3, 5)


def test_attentive_statistics() -> None:
    """With equal weights they are mean and deviation; one frame of all the weight is the mean itself."""
    pooling, frames = AttentiveStatistics(4), torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    for weight in pooling.parameters():
        nn.init.zeros_(weight)
    expected = torch.cat([frames.mean(1), frames.std(1, correction=0)], 1)
    torch.testing.assert_close(pooling(frames), expected)
    frames[:, 2] += 100
    nn.init.constant_(pooling.weigh[0].weight, 0.01)
    nn.init.constant_(pooling.weigh[2].weight, 10.0)
    mean, deviation = pooling(frames).chunk(2, 1)
    torch.testing.assert_close(mean, frames[:, 2])
    assert float(deviation.detach().max()) < 0.01


@pytest.mark.parametrize("tune", ["lora", "all"])
def test_a_finished_graph_cannot_be_trained(encoder: Small, tune: str) -> None:
    encoder.tunable = False
    TunedEncoder(encoder, rate=1000, tune="head")
    with pytest.raises(AsdRayError, match="the weights of Small cannot be trained, as it is a finished graph"):
        TunedEncoder(encoder, rate=1000, tune=tune, rank=1)
