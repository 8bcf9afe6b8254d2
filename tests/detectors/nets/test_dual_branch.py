from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.nets.dual_branch import (
    STRIDES,
    DualBranch,
    SpectrogramNet,
    SpectrumNet,
    _Block,
    spectra,
    with_window,
)
from asd_ray.features import Magnitude

FRONT_END = Magnitude(center=False, seconds=0.5, short="repeat")


def size(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


def shapes(layers: nn.Sequential, inputs: Tensor) -> list[tuple[int, ...]]:
    """Output shapes of each layer for one sample."""
    actual = []
    with torch.no_grad():
        for layer in layers:
            inputs = layer(inputs)
            actual.append(tuple(inputs.shape[1:]))
    return actual


def test_the_spectrum_of_ten_seconds_shrinks_as_in_the_authors_code() -> None:
    net = SpectrumNet(80_000).eval()
    actual = shapes(net.layers, torch.randn(1, 1, 80_000))
    padded, convolved = [(1, 80_192), (128, 1_312), (128, 52)], [(128, 1_250), (128, 40), (128, 10)]
    both = zip(padded, convolved, strict=True)
    assert actual[:9] == [shape for before, after in both for shape in (before, after, after)]
    assert actual[9:] == [(1_280,), *[(128,)] * 13]
    dense = 1_280 * 128 + 3 * 128 * 128 + 4 * 2 * 128 + 128 * 128  # four normalised layers, and the last
    assert size(net) == 256 * 128 + 64 * 128 * 128 + 16 * 128 * 128 + dense


def block(inputs: int, outputs: int) -> int:
    """Two normalisations, two convolutions, and one in the shortcut where the width changes."""
    past = inputs * outputs if inputs != outputs else 0
    return 2 * inputs + 9 * inputs * outputs + 2 * outputs + 9 * outputs**2 + past


def test_the_spectrogram_of_ten_seconds_shrinks_as_in_the_authors_code() -> None:
    net = SpectrogramNet(513).eval()
    actual = shapes(net.layers, torch.randn(1, 1, 311, 513))
    stages = [(16, 77, 128), (32, 39, 64), (64, 20, 32), (128, 10, 16)]
    assert actual == [(16, 156, 257), (16, 77, 128), *(shape for shape in stages for _ in range(2))]
    first = 2 * 513 + 49 * 16 + 2 * 16
    blocks = sum(block(*each) for each in ((16, 16), (16, 32), (32, 64), (64, 128)))
    blocks += sum(block(each, each) for each in (16, 32, 64, 128))
    assert size(net) == first + blocks + 2 * 128 * 16 + 128 * 16 * 128
    assert net(torch.randn(2, 311, 513)).shape == net(torch.randn(2, 561, 513)).shape == (2, 128)


def test_no_layer_has_a_bias() -> None:
    layers = [each for each in DualBranch(FRONT_END, 8000).modules() if isinstance(each, nn.Linear | nn.Conv1d)]
    layers += [each for each in DualBranch(FRONT_END, 8000).modules() if isinstance(each, nn.Conv2d)]
    assert len(layers) == 8 + 1 + 1 + 8 * 2 + 3
    assert all(each.bias is None for each in layers)


@pytest.mark.parametrize("bins", [80_000, 4_001])
def test_a_spectrum_is_padded_so_that_each_stride_gives_one_output(bins: int) -> None:
    (kernel, stride), net = STRIDES[0], SpectrumNet(bins)
    given = torch.randn(1, 1, bins)
    with torch.no_grad():
        actual = net.layers[1](net.layers[0](given))[0, 5].numpy()
        weight = net.layers[1].weight[5, 0].numpy()
    count = -(-bins // stride)
    total = (count - 1) * stride + kernel - bins
    inputs = np.pad(given[0, 0].numpy(), (total // 2, total - total // 2))
    expected = [inputs[i * stride : i * stride + kernel] @ weight for i in range(count)]
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_spectra_are_magnitudes_of_the_whole_clip() -> None:
    waves = np.random.default_rng(0).normal(0, 0.1, (2, 1000)).astype(np.float32)
    expected = np.abs(np.fft.fft(waves.astype(float)))[:, :500]
    np.testing.assert_allclose(spectra(torch.from_numpy(waves)).numpy(), expected, rtol=1e-3, atol=1e-4)


def test_the_mean_over_time_is_subtracted_from_a_spectrogram() -> None:
    net, rng = DualBranch(FRONT_END, 8000, ["stft"]), np.random.default_rng(0)
    period = torch.from_numpy(rng.normal(0, 0.1, 512).astype(np.float32))
    hum = period.repeat(16)[:8000].expand(1, -1)
    assert float(net.spectrograms(hum).abs().max()) < 1e-4
    knock = hum.clone()
    knock[0, 4000:4100] += 0.5
    used = net.spectrograms(knock)
    assert used.shape == (1, 14, 513)
    assert float(used.abs().max()) > 1
    torch.testing.assert_close(used.mean(1), torch.zeros(1, 513), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(3, 3, 1), (3, 4, 2)])
def test_a_block_adds_its_output_to_the_normalised_image(inputs: int, outputs: int, stride: int) -> None:
    torch.manual_seed(0)
    net = _Block(inputs, outputs, stride).eval()
    net.norm.running_mean = torch.randn(inputs)
    pictures = torch.randn(2, inputs, 5, 6)
    with torch.no_grad():
        normed = (pictures - net.norm.running_mean.view(1, -1, 1, 1)) / (1 + 1e-3) ** 0.5
        first, norm, _ = net.layers[1]
        middle = (first(normed.relu()) / (1 + norm.eps) ** 0.5).relu()
        past = normed
        if stride == 2:
            padded = nn.functional.pad(
                normed, (0, 0, 0, 1), value=-torch.inf
            )  # 5 rows: the last one is pooled by itself
            past = padded.unflatten(2, (3, 2)).unflatten(4, (3, 2)).amax((3, 5))
            past = torch.einsum("oi,nihw->nohw", net.shortcut[1].weight[:, :, 0, 0], past)
        torch.testing.assert_close(net(pictures), net.layers[2](middle) + past, rtol=1e-4, atol=1e-5)


def test_both_embeddings_are_concatenated_and_every_weight_is_trained() -> None:
    torch.manual_seed(0)
    net, waves = DualBranch(FRONT_END, 8000), torch.randn(6, 8000) * 0.1
    assert net.fft is not None
    assert net.stft is not None
    result = net(waves)
    assert result.shape == (6, net.width) == (6, 256)
    (result * torch.randn(6, 256)).sum().backward()
    for name, each in net.named_parameters():
        assert each.grad is not None, name
        assert float(each.grad.abs().max()) > 0, name
    with torch.no_grad():
        net.eval()
        fft, stft = net(waves).chunk(2, 1)
        torch.testing.assert_close(fft, net.fft(spectra(waves)))
        torch.testing.assert_close(stft, net.stft(net.spectrograms(waves)))
        torch.testing.assert_close(net(waves[:1]), torch.cat([fft, stft], 1)[:1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("branch", ["fft", "stft"])
def test_a_branch_alone_is_half_as_wide(branch: str) -> None:
    net = DualBranch(FRONT_END, 8000, [branch]).eval()
    assert (net.fft is None, net.stft is None) == (branch != "fft", branch != "stft")
    assert net(torch.randn(2, 8000)).shape == (2, net.width) == (2, 128)


ALL = ("fft", "stft_short", "stft", "stft_long")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 96_000])
def test_windows_have_the_same_seconds_at_every_rate(rate: int) -> None:
    front_end = Magnitude(center=False, seconds=10.0, short="repeat").at(rate)
    for name, seconds in (("stft_short", 0.016), ("stft", 0.064), ("stft_long", 0.256)):
        own = with_window(front_end, name)
        assert isinstance(own, Magnitude)
        assert (own.rate, own.center, own.used_samples(1)) == (rate, False, 10 * rate)
        assert (own.win_length or own.n_fft) / rate == pytest.approx(seconds, rel=0.01)
        assert own.hop / rate == pytest.approx(seconds / 2, rel=0.01)
    assert with_window(front_end, "stft") is front_end


def test_windows_at_16_khz_are_those_of_asdkit() -> None:
    own = [with_window(FRONT_END, name) for name in ALL[1:]]
    assert [(each.n_fft, each.hop) for each in own if isinstance(each, Magnitude)] == [
        (256, 128),
        (1024, 512),
        (4096, 2048),
    ]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
def test_a_clip_that_is_short_for_long_windows_is_repeated(rate: int) -> None:
    front_end = Magnitude(center=False, seconds=0.25, short="repeat").at(rate)
    net = DualBranch(front_end, front_end.used_samples(1), ALL).eval()
    waves = torch.randn(2, front_end.used_samples(1)) * 0.1
    assert net.spectrograms(waves, "stft_long").shape[1] >= 5
    assert net(waves).shape == (2, net.width) == (2, 512)
    again = net.spectrograms(waves.repeat(1, 4), "stft_long")
    torch.testing.assert_close(net.spectrograms(waves, "stft_long"), again)


def test_branches_are_concatenated_in_their_order_and_all_are_trained() -> None:
    torch.manual_seed(0)
    net, waves = DualBranch(FRONT_END, 8000, ALL), torch.randn(6, 8000) * 0.1
    (net(waves) * torch.randn(6, 512)).sum().backward()
    assert all(each.grad is not None and float(each.grad.abs().max()) > 0 for each in net.parameters())
    with torch.no_grad():
        net.eval()
        for name, part in zip(ALL, net(waves).chunk(4, 1), strict=True):
            inputs = spectra(waves) if name == "fft" else net.spectrograms(waves, name)
            torch.testing.assert_close(part, net.net(name)(inputs))
    assert net.net("stft_short").norm.num_features == 129
    assert net.net("stft_long").norm.num_features == 2049


def test_masks_hide_parts_of_every_spectrogram_but_not_of_the_spectrum() -> None:
    torch.manual_seed(0)
    net, waves = DualBranch(FRONT_END, 8000, ALL).eval(), torch.randn(3, 8000) * 0.1
    nothing, everything = torch.zeros(3, 2, 1, 2), torch.tensor([0.0, 1.0]).expand(3, 2, 1, 2)
    with torch.no_grad():
        plain = net(waves)
        torch.testing.assert_close(net(waves, nothing), plain)
        for name, part, hidden in zip(ALL, plain.chunk(4, 1), net(waves, everything).chunk(4, 1), strict=True):
            if name == "fft":
                torch.testing.assert_close(hidden, part)
            else:
                torch.testing.assert_close(
                    hidden, net.net(name)(torch.zeros_like(net.spectrograms(waves, name))), rtol=1e-4, atol=1e-5
                )
                assert float((hidden - part).abs().max()) > 1e-3, name


def test_initial_weights_are_those_of_keras_and_depend_on_the_seed() -> None:
    nets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        nets.append(DualBranch(FRONT_END, 8000))
    weights = [torch.cat([each.detach().flatten() for each in net.parameters()]) for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert nets[0].fft is not None
    largest = float(nets[0].fft.layers[4].weight.detach().abs().max())
    assert largest == pytest.approx((6 / (64 * 128 + 64 * 128)) ** 0.5, rel=1e-3)
