from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asd_ray._torchaudio import transforms
from asd_ray.clips.audio import UnreadableClip, read_header, read_samples
from asd_ray.clips.resampling import PIECE, RATES, StreamResampler, resample, resampled_length
from benchmarks.bench_resampling import alias, error_of_noise, error_of_tone

from ..hostile import bounded

COMMON = (8_000, 22_050, 32_000, 44_100, 48_000, 96_000)
ODD = (22_049, 44_101, 48_001, 48_828, 47_999, 999_983)


def ours(samples: np.ndarray, rate: int) -> np.ndarray:
    return resample(samples, rate, 16_000)


@pytest.mark.parametrize("rate", [*COMMON, *ODD])
def test_the_error_is_that_of_16_bits(rate: int) -> None:
    assert error_of_tone(ours, rate) < -85  # the rounding of two sides to int16 alone gives about -91 dB
    assert alias(ours, rate) < -90


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_828, 44_101])
def test_noise_is_as_a_long_reference_filter_has_it(rate: int) -> None:
    assert error_of_noise(ours, rate) < -70


@pytest.mark.parametrize("rate", COMMON)
def test_it_agrees_with_torchaudio_where_that_filter_is_flat(rate: int) -> None:
    """In the lower 40 % of the band torchaudio's short filter errs by a percent at most."""
    low = 0.4 * min(rate, 16_000) / 2
    count = 2 * rate
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(count))
    spectrum[np.arange(len(spectrum)) / 2 > low] = 0
    noise = np.fft.irfft(spectrum, count)
    samples = np.rint(noise / np.abs(noise).max() * 30_000).astype(np.int16)
    theirs = transforms.Resample(rate, 16_000)(_torch(samples)).numpy()
    mine = ours(samples, rate)
    assert len(mine) == len(theirs)
    middle = slice(4_000, -4_000)
    assert np.sqrt(np.mean((mine[middle] - theirs[middle]) ** 2) / np.mean(theirs[middle] ** 2)) < 0.01


def _torch(samples: np.ndarray) -> object:
    import torch

    return torch.from_numpy(samples.astype(np.float32))


@pytest.mark.parametrize("rate", [44_100, 44_101, 48_828])
def test_pieces_and_a_used_resampler_change_nothing(rate: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(-32768, 32767, 3 * PIECE + 17, np.int16)
    first = resample(samples, rate, 16_000)
    assert np.array_equal(first, resample(samples, rate, 16_000))
    whole = np.clip(np.rint(soxr.resample(samples.astype(np.float32), rate, 16_000)), -32768, 32767)
    assert np.array_equal(first[: len(whole)], whole[: len(first)])
    assert len(first) == resampled_length(len(samples), rate, 16_000) == -(-len(samples) * 16_000 // rate)


@pytest.mark.parametrize(("rate", "wanted"), [(22_049, 16_000), (44_101, 16_000), (48_001, 15_999), (999_983, 44_101)])
@pytest.mark.parametrize("back", [False, True])
def test_no_ratio_takes_much_memory_or_time(rate: int, wanted: int, back: bool) -> None:
    """At 44,101 Hz the kernel that stood here before ended in the out-of-memory killer."""
    if back:
        rate, wanted = wanted, rate
    samples = np.ones(2 * rate, np.int16)
    with bounded(seconds=5, gib=0.25):
        assert len(resample(samples, rate, wanted)) == 2 * wanted


def test_a_quiet_constant_stays_free_of_dither() -> None:
    assert set(resample(np.full(48_000, 5, np.int16), 48_000, 16_000)[4_000:-4_000].tolist()) == {5}


def test_full_scale_does_not_wrap() -> None:
    square = np.where(np.arange(48_000) // 240 % 2, 32767, -32768).astype(np.int16)
    resampled = resample(square, 48_000, 16_000)
    assert resampled.max() == 32767
    assert resampled.min() == -32768
    assert np.abs(np.sign(resampled[40::80]) - np.sign(square[120::240][: len(resampled[40::80])])).max() == 0


@pytest.mark.parametrize("rate", [1, 99, RATES[1] + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_rate_that_no_recording_has_is_named(tmp_path: Path, rate: int, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(400_000), 16_000, subtype=subtype)
    whole = path.read_bytes()
    path.write_bytes(whole[:24] + rate.to_bytes(4, "little") + whole[28:])
    for read in (read_header, lambda path: read_samples(path, rate=16_000, channel=0)):
        with bounded(seconds=5, gib=0.5), pytest.raises(UnreadableClip, match="Hz, but clips have|cannot be read"):
            read(path)


@pytest.mark.parametrize("rate", ["0", "1", "99", "10000001", "1000000000", "1e9", "nan", "-16000"])
@pytest.mark.parametrize("verb", ["check", "bank"])
def test_a_rate_to_decode_to_has_bounds(verbs, tmp_path: Path, verb: str, rate: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "data/normal").mkdir(parents=True)
    soundfile.write(tmp_path / "data/normal/a.wav", np.zeros(8_000), 16_000)
    with bounded(seconds=10):
        verbs.refused("data", verb, tmp_path / "data", "--rate", rate, words=("rate",))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 44_101, 48_000])
def test_a_stream_in_any_blocks_gives_the_samples_of_the_whole(rate: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(-32_768, 32_768, 200_003).astype(np.int16)
    stream, other = StreamResampler(rate, 16_000), StreamResampler(rate, 16_000)
    pieces, at = [], 0
    while at < len(samples):
        count = int(rng.integers(0, 30_000))
        pieces.append(stream.push(samples[at : at + count]))
        other.push(samples[:100])  # another stream beside it changes nothing
        at += count
    whole = np.concatenate([*pieces, stream.finish()])
    assert whole.dtype == np.int16
    assert (whole == resample(samples, rate, 16_000)).all()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_shortest_streams_have_the_length_of_the_shortest_clips(count: int) -> None:
    stream = StreamResampler(44_100, 16_000)
    length = len(stream.push(np.ones(count, np.int16))) + len(stream.finish())
    assert length == resampled_length(count, 44_100, 16_000)
