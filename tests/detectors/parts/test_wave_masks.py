from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_ray.detectors.parts.wave_masks import masked_waves

RATE, SAMPLES = 16_000, 4_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def noise(count: int, samples: int = SAMPLES) -> torch.Tensor:
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(0))


def test_without_masks_nothing_is_drawn_or_changed(rng: np.random.Generator) -> None:
    waves, before = noise(2), rng.bit_generator.state
    assert masked_waves(waves, 0, 0, RATE, rng) is waves
    assert rng.bit_generator.state == before


def test_one_stretch_of_each_wave_becomes_zero(rng: np.random.Generator) -> None:
    waves = noise(200)
    masked = masked_waves(waves, 0.4, 0, RATE, rng)
    gone = masked != waves
    assert (masked[gone] == 0).all()
    edges = gone.int().diff(
        dim=1, prepend=torch.zeros(200, 1, dtype=torch.int), append=torch.zeros(200, 1, dtype=torch.int)
    )
    assert ((edges == 1).sum(1) <= 1).all()
    shares = gone.float().mean(1)
    assert float(shares.max()) <= 0.4 + 1 / SAMPLES
    assert float(shares.mean()) == pytest.approx(0.2, abs=0.03)
    assert len(shares.unique()) > 150  # each wave has its own
    assert gone.float().mean(0)[SAMPLES // 4 : -SAMPLES // 4].min() > 0  # anywhere


def test_one_band_of_each_spectrum_is_lost_and_the_rest_stays(rng: np.random.Generator) -> None:
    waves = noise(100)
    before, after = (torch.fft.rfft(each) for each in (waves, masked_waves(waves, 0, 0.5, RATE, rng)))
    gone = after.abs() < 1e-3 * before.abs()
    torch.testing.assert_close(after[~gone], before[~gone], rtol=1e-3, atol=1e-3)
    hertz = torch.fft.rfftfreq(SAMPLES, 1 / RATE).numpy()
    mels = 2595 * np.log10(1 + hertz / 700)
    widths = []
    for each in gone.numpy():
        positions = np.flatnonzero(each)
        assert (np.diff(positions) == 1).all()
        widths.append(0.0 if not len(positions) else (mels[positions[-1]] - mels[positions[0]]) / mels[-1])
    assert max(widths) <= 0.5
    assert np.mean(widths) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("samples", [1, 2, 401])
def test_any_length_is_kept(rng: np.random.Generator, samples: int) -> None:
    masked = masked_waves(noise(3, samples), 0.9, 0.9, RATE, rng)
    assert masked.shape == (3, samples)
    assert bool(masked.isfinite().all())
