"""Front ends at other rates than their own: the same seconds, Hz and mel bands; at their own rate nothing changes."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from asd_ray.errors import AsdRayError
from asd_ray.features import PRESETS, Complex, FrontEnd, LogMel, Magnitude, Raw
from asd_ray.features.spectral import Spectral

RATES = (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000)
LOW = (1_000, 2_000, 3_000, 4_000)  # where the bins of the window alone would leave mel bands empty
SPECTRA = {name: made for name, made in PRESETS.items() if isinstance(made, Spectral)}
# A hash is part of the identity of features and trials: a new hash means that all stored results are computed again.
HASHES = {
    "baseline_2020": "d6c155d7754f",
    "baseline": "6175cd84f6f7",
    "aegan_ad": "86bb9ce80e67",
    "stgram": "b3f4182cdf18",
    "twfr": "f6ad89c5ef7a",
    "cp_jku": "729a781f1876",
    "noisy_arcmix": "7361524487a1",
    "kim_complex": "b029c6c4b80a",
    "magnitude": "21be0beb05e6",
    "raw": "699c82e3a01a",
    "raw_10s": "4117854db6b5",
}


def hum(rate: int, seconds: float = 0.5, hz: float = 440.0) -> torch.Tensor:
    time = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (0.3 * torch.sin(2 * np.pi * hz * time) + 0.001 * noise).float()[None]


@pytest.mark.parametrize("name", PRESETS)
def test_the_published_presets_are_unchanged(name: str) -> None:
    assert PRESETS[name].hash == PRESETS[name].at(16_000).hash == HASHES[name]
    assert PRESETS[name].at(16_000) is PRESETS[name]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", SPECTRA)
def test_window_and_hop_keep_their_seconds_and_the_number_of_bands_stays(name: str, rate: int) -> None:
    own, result = SPECTRA[name], SPECTRA[name].at(rate)
    assert (result.rate, result.seconds, result.short, result.center) == (rate, own.seconds, own.short, own.center)
    assert (result.win_length or result.n_fft) / rate == pytest.approx(own.n_fft / 16_000, abs=1.01 / rate)
    assert result.hop / rate == pytest.approx(own.hop / 16_000, abs=0.51 / rate)
    assert result.frames(10 * rate) == own.frames(160_000)
    if isinstance(own, LogMel):
        assert result.shape == own.shape
        assert bool(result._filters().sum(0).all())
    assert result.hash != own.hash
    assert result.at(rate) is result is own.at(rate)


@pytest.mark.parametrize("rate", [*RATES, *LOW])
@pytest.mark.parametrize("name", SPECTRA)
def test_features_are_finite_and_as_many_as_announced(name: str, rate: int) -> None:
    result = SPECTRA[name].at(rate)
    for waves in (hum(rate), torch.zeros(1, rate // 2)):
        out = result(waves)
        assert out.shape == (1, result.frames(rate // 2), *result.shape)
        assert torch.isfinite(out).all()


@pytest.mark.parametrize("rate", LOW)
@pytest.mark.parametrize("name", ["baseline", "twfr", "aegan_ad"])
def test_low_rates_leave_no_mel_band_empty(name: str, rate: int) -> None:
    result = PRESETS[name].at(rate)
    assert isinstance(result, LogMel)
    assert bool(result._filters().sum(0).all())
    noise = torch.randn(1, 2 * rate, generator=torch.Generator().manual_seed(1))
    assert float(result(noise)[0].std(0).min()) > 0.1  # dB: no band is constant


@pytest.mark.parametrize("rate", [4_000, *RATES])
def test_a_tone_is_in_the_band_of_its_frequency(rate: int) -> None:
    made = PRESETS["twfr"].at(rate)
    assert isinstance(made, LogMel)
    loudest = int(made(hum(rate, hz=1000.0))[0].mean(0).argmax())
    bins = torch.arange(made.bins) * rate / made.n_fft
    used = bins[made._filters()[:, loudest] > 0]
    assert used.min() - rate / made.n_fft <= 1000 <= used.max() + rate / made.n_fft


@pytest.mark.parametrize("rate", RATES)
def test_log_mel_at_another_rate_matches_librosa(rate: int) -> None:
    made, waves = PRESETS["baseline"].at(rate), hum(rate)
    assert isinstance(made, LogMel)
    mel = librosa.feature.melspectrogram(
        y=waves[0].numpy(), sr=rate, n_fft=made.n_fft, win_length=made.win_length, hop_length=made.hop, n_mels=128
    )
    expected = 10 * np.log10(np.maximum(mel, made.floor)).T
    # torchaudio's bins end at a whole number of Hz: at 5512 instead of 5512.5 for 11,025 Hz, a ten-thousandth too low
    assert np.abs(made(waves)[0].numpy() - expected).max() < (0.2 if rate % 2 else 0.01)


@pytest.mark.parametrize("rate", RATES)
def test_a_transform_has_no_large_prime_factor(rate: int) -> None:
    left = PRESETS["kim_complex"].at(rate)
    assert isinstance(left, Complex)
    size = left.n_fft
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    assert size == 1


@pytest.mark.parametrize(
    ("own", "rate", "expected"),
    [
        (Raw(seconds=2.0), 48_000, Raw(seconds=2.0, rate=48_000)),
        (Magnitude(n_fft=512, hop=128), 8_000, Magnitude(n_fft=256, hop=64, rate=8_000)),
        (Magnitude(n_fft=1024, win_length=800), 32_000, Magnitude(n_fft=2048, win_length=1600, hop=1024, rate=32_000)),
        (LogMel(fmax=3_000.0), 8_000, LogMel(n_fft=512, hop=256, fmax=3_000.0, rate=8_000)),
        (LogMel(fmax=7_000.0), 8_000, LogMel(n_fft=512, hop=256, fmax=4_000.0, rate=8_000)),
        (LogMel(fmax=7_000.0), 48_000, LogMel(n_fft=3072, hop=1536, fmax=7_000.0, rate=48_000)),
        (LogMel(rate=48_000, n_fft=3072, hop=1536), 16_000, LogMel()),
        (
            LogMel(mels=400),
            8_000,
            LogMel(mels=400, n_fft=512, hop=256, rate=8_000),
        ),  # its own setting has empty bands already
    ],
    ids=lambda inputs: f"{inputs.KIND}-{inputs.hash}" if isinstance(inputs, FrontEnd) else str(inputs),
)
def test_parameters_at_another_rate(own: FrontEnd, rate: int, expected: FrontEnd) -> None:
    assert own.at(rate) == expected


@pytest.mark.parametrize(
    ("own", "rate", "message"),
    [
        (Magnitude(), 100, "the window of magnitude has 6 samples, but only 16 to 262144 are possible; choose"),
        (LogMel(), 1, "the window of log_mel has 0 samples"),
        (Complex(), 1_000_000_000, "the window of complex has 64000000 samples"),
        (LogMel(fmin=5_000.0), 8_000, "fmin of LogMel must be from 0 and below fmax or rate / 2 but got 5000.0"),
        (LogMel(fmin=3_000.0, mels=64), 6_008, "at 6008 Hz 64 mel bands are too narrow for a window of 384 samples"),
        (Raw(seconds=0.001), 900, "seconds of Raw must be a sample or more"),
    ],
    ids=lambda inputs: inputs.KIND if isinstance(inputs, FrontEnd) else str(inputs)[:20],
)
def test_an_impossible_rate_names_the_reason(own: FrontEnd, rate: int, message: str) -> None:
    with pytest.raises(AsdRayError, match=message.replace("(", r"\(")):
        own.at(rate)
