from __future__ import annotations

import numpy as np
import pytest

from asd_ray.deploy.explain.spectrum import HIGH, LOW, Spectrum

from .conftest import RATE, hiss, samples, with_tone


def normal_of(seconds: float) -> np.ndarray:
    return np.asarray(np.median(Spectrum.of(samples(hiss(seconds, 5)), RATE).magnitudes, 1))


@pytest.mark.parametrize("length", [1, 300, 1023, 1024, 1025, 16_000, 16_001])
def test_without_a_change_the_sound_stays_to_the_last_bit(length: int) -> None:
    wave = samples(hiss(length / RATE))
    spectrum = Spectrum.of(wave, RATE)
    assert spectrum.values.shape == (513, length // 256 + 1)
    everything = np.ones(spectrum.values.shape, bool)
    np.testing.assert_array_equal(spectrum.sound_where(spectrum.values, everything), wave)


def test_a_scaled_spectrum_is_the_scaled_sound() -> None:
    wave = samples(hiss(1.0))
    spectrum = Spectrum.of(wave, RATE)
    halved = spectrum.sound_with(spectrum.values / 2, slice(0, 513), slice(0, spectrum.values.shape[1]))
    np.testing.assert_allclose(halved, wave / 2, atol=1)


def test_a_change_reaches_no_further_than_one_frame_and_no_other_band() -> None:
    wave = with_tone()
    spectrum = Spectrum.of(wave, RATE)
    bins, frames = slice(180, 230), slice(250, 330)  # around 3.2 kHz, 4.0 to 5.3 s
    changed = spectrum.sound_with(np.zeros_like(spectrum.values), bins, frames)
    difference = changed.astype(float) - wave
    assert np.flatnonzero(difference)[0] >= 250 * 256 - 512
    assert np.flatnonzero(difference)[-1] <= 330 * 256 + 512
    power = np.abs(np.fft.rfft(difference)) ** 2
    hz = np.fft.rfftfreq(len(difference), 1 / RATE)
    assert power[(hz > 2700) & (hz < 3700)].sum() > 0.99 * power.sum()


def test_a_rectangle_and_its_mask_give_one_sound() -> None:
    spectrum = Spectrum.of(with_tone(), RATE)
    values, mask = spectrum.filled(normal_of(6.0)), np.zeros(spectrum.values.shape, bool)
    mask[100:250, 200:300] = True
    one = spectrum.sound_with(values, slice(100, 250), slice(200, 300))
    assert np.abs(spectrum.sound_where(values, mask).astype(int) - one).max() <= 1


def test_filling_removes_a_tone_and_leaves_normal_sound_nearly_as_it_is() -> None:
    wave, normal = with_tone(), normal_of(6.0)
    spectrum = Spectrum.of(wave, RATE)
    everything = np.ones(spectrum.values.shape, bool)
    again = Spectrum.of(spectrum.sound_where(spectrum.filled(normal), everything), RATE)
    tone = slice(265, 310)  # frames
    assert spectrum.magnitudes[205, tone].min() > 10 * normal[205]
    assert np.median(again.magnitudes[205, tone]) < 1.5 * HIGH * normal[205]  # neighbouring frames are in phase
    quiet = Spectrum.of(samples(hiss(6.0, 7)), RATE)
    changed = quiet.sound_where(quiet.filled(normal), everything[:, : quiet.values.shape[1]]).astype(float)
    assert np.std(changed - quiet.samples) < 0.2 * np.std(quiet.samples)


def test_filled_magnitudes_are_in_the_normal_range() -> None:
    normal = normal_of(2.0)
    for wave in (with_tone(), np.zeros(RATE, np.int16)):
        ratios = np.abs(Spectrum.of(wave, RATE).filled(normal)) / normal[:, None]
        assert ratios.min() > 0.999 * LOW
        assert ratios.max() < 1.001 * HIGH


def test_silence_is_filled_with_noise_and_not_with_pulses() -> None:
    spectrum = Spectrum.of(np.zeros(2 * RATE, np.int16), RATE)
    filled = spectrum.sound_where(spectrum.filled(normal_of(2.0)), np.ones(spectrum.values.shape, bool)).astype(float)
    assert np.abs(filled).max() < 6 * filled.std()  # one pulse per frame would be 30 times as high
    assert filled.std() > 5


def test_what_is_outside_the_normal_range_has_a_sign() -> None:
    normal = normal_of(2.0)
    excess = Spectrum.of(with_tone(), RATE).excess_db(normal)
    assert 10 < excess[205, 265:310].mean() < 40
    assert (excess == 0).mean() > 0.9
    assert Spectrum.of(np.zeros(RATE, np.int16), RATE).excess_db(normal).max() < 0
