from __future__ import annotations

import numpy as np
import pytest

from asd_ray.figures.constant_q import ConstantQ, phase_advance

RATE, HOP = 16_000, 256


@pytest.mark.parametrize("hz", [100.0, 440.0, 3000.0])
def test_a_tone_is_loudest_in_its_band_and_turns_as_its_frequency_says(hz: float) -> None:
    transform = ConstantQ(RATE, HOP)
    bands = transform(0.5 * np.cos(2 * np.pi * hz * np.arange(3 * RATE) / RATE))
    assert bands.shape == (len(transform.hz), 3 * RATE // HOP + 1)
    middle = bands[:, 80:110]
    loudest = int(np.abs(middle).mean(1).argmax())
    assert transform.hz[loudest] == pytest.approx(hz, rel=2 ** (1 / 48) - 1)
    near = slice(loudest - 1, loudest + 2)
    turns = phase_advance(bands)[near, 80:110]
    expected = hz * HOP / RATE % 1
    np.testing.assert_allclose((turns - expected + 0.5) % 1 - 0.5, 0, atol=1e-3)


def test_each_frame_is_the_sum_that_defines_it() -> None:
    transform = ConstantQ(RATE, HOP, lowest=400.0, per_octave=12)
    wave = np.random.default_rng(0).normal(size=4000)
    bands = transform(wave)
    for band, frame in ((0, 8), (20, 0), (40, 15)):  # frame 0 and 15 reach beyond the clip
        hz = transform.hz[band]
        half = int(transform.q * RATE / hz / 2)
        at = np.arange(-half, half + 1)
        window = 0.5 + 0.5 * np.cos(np.pi * at / (half + 1))
        here = frame * HOP + at
        inside = (here >= 0) & (here < len(wave))
        samples = np.where(inside, wave[np.clip(here, 0, len(wave) - 1)], 0)
        expected = (samples * window / window.sum() * np.exp(-2j * np.pi * hz * at / RATE)).sum()
        np.testing.assert_allclose(bands[band, frame], expected, rtol=1e-9, atol=1e-12)


def test_a_jump_of_the_phase_changes_the_advance() -> None:
    transform, at = ConstantQ(RATE, HOP), np.arange(2 * RATE)
    tone = np.cos(2 * np.pi * 500 * at / RATE + np.where(at < RATE, 0, 2.0))
    band = int(np.abs(transform.hz - 500).argmin())
    advance = phase_advance(transform(tone))[band]
    steady = 500 * HOP / RATE % 1
    away = np.abs((advance - steady + 0.5) % 1 - 0.5)
    assert away[[20, 21, 100, 101]].max() < 1e-3
    assert away[58:68].max() > 0.02
