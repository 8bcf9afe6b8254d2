from __future__ import annotations

import math

import pytest
import torch

from asd_ray.detectors.parts.resampled import resampled


def tones(rate: int, samples: int) -> torch.Tensor:
    """A tone of 100 Hz and one of 1500 Hz that both fit into the wave, and a constant."""
    time = torch.arange(samples, dtype=torch.float64) / rate
    return torch.stack([0.3 + torch.sin(2 * math.pi * 100 * time), torch.sin(2 * math.pi * 1500 * time)])


@pytest.mark.parametrize(("rate", "to"), [(16_000, 8_000), (8_000, 16_000), (44_100, 16_000), (16_000, 48_000)])
def test_tones_keep_pitch_and_loudness(rate: int, to: int) -> None:
    torch.testing.assert_close(resampled(tones(rate, rate // 10), rate, to), tones(to, to // 10))


@pytest.mark.parametrize("samples", [1, 2, 3, 100, 101])
def test_what_goes_up_comes_down_again(samples: int) -> None:
    waves = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    low = resampled(resampled(waves, 16_000, 32_000), 32_000, 16_000)
    assert low.shape == waves.shape
    spectra = [torch.fft.rfft(each)[:, : (samples - 1) // 2 + 1] for each in (low, waves)]
    torch.testing.assert_close(*spectra, atol=1e-5, rtol=1e-4)


def test_what_is_too_high_for_the_rate_is_dropped() -> None:
    assert float(resampled(tones(16_000, 1_600)[1:], 16_000, 2_000).abs().max()) < 1e-9


def test_at_its_own_rate_a_wave_stays() -> None:
    waves = tones(16_000, 1_600)
    assert resampled(waves, 16_000, 16_000) is waves
