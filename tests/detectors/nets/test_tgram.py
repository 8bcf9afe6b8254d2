from __future__ import annotations

import pytest
import torch
from torch.nn.functional import layer_norm, leaky_relu

from asd_ray.detectors.nets.tgram import Tgram, temporal_attention


def test_tgram_has_the_parameters_of_the_paper() -> None:
    net = Tgram()
    # the first convolution; three times weight and bias per time step, and a convolution
    assert sum(each.numel() for each in net.parameters()) == 1024 * 128 + 3 * (2 * 313 + 128 * 128 * 3)
    with torch.no_grad():
        assert net(torch.randn(1, 160_000)).shape == (1, 128, 313)


def test_tgram_filters_windows_of_the_wave_and_normalises_over_time() -> None:
    torch.manual_seed(0)
    net = Tgram(5, mels=3, window=8, hop=4).double()
    waves = torch.randn(2, 16).double()
    padded = torch.nn.functional.pad(waves, (4, 4))
    result = padded.unfold(1, 8, 4) @ net.filters.weight[:, 0].T  # [n, frames, mels]
    result = result.transpose(1, 2)
    for conv in (net.layers[2], net.layers[5], net.layers[8]):
        result = leaky_relu(layer_norm(result, [5]), 0.2)
        beside = torch.nn.functional.pad(result, (1, 1)).unfold(2, 3, 1)
        result = torch.einsum("nitk,oik->not", beside, conv.weight)
    assert torch.allclose(net(waves), result)


@pytest.mark.parametrize("lead", [(2,), (2, 1)])
def test_attention_weights_frames_by_their_largest_and_mean_value(lead: tuple[int, ...]) -> None:
    images = torch.randn(*lead, 4, 6)
    result = temporal_attention(images)
    frame = images[..., 3]
    gate = 1 / (1 + torch.exp(-(frame.max(-1).values + frame.mean(-1))))
    assert torch.allclose(result[..., 3], frame * gate.unsqueeze(-1))


def test_waves_keep_32_bits_under_autocast() -> None:
    """The filters are computed in full; what follows is in bfloat16, as autocast wants it."""
    net, waves = Tgram(5, mels=3, window=8, hop=4), torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    filtered, outputs = list[torch.Tensor](), list[torch.Tensor]()
    net.filters.register_forward_hook(lambda _net, _inputs, output: filtered.append(output))
    with torch.autocast("cpu", torch.bfloat16):
        outputs.append(net(waves))
    outputs.append(net(waves))
    assert torch.equal(*filtered)
    assert [each.dtype for each in (*filtered, *outputs)] == [*[torch.float32] * 2, torch.bfloat16, torch.float32]


def test_stgram_embeds_small_waves_under_autocast_as_without() -> None:
    """Of a wave around a level, bfloat16 would keep the level alone."""
    net, draw = Tgram(5, mels=3, window=8, hop=4).eval(), torch.Generator().manual_seed(0)
    waves = 0.5 + 1e-3 * torch.randn((2, 16), generator=draw)
    net.filters.weight.data -= net.filters.weight.data.mean(2, keepdim=True)  # deaf to the level
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = net(waves).float()
    with torch.no_grad():
        exact = net(waves)
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()
