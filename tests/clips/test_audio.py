from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clips.audio import UnreadableClip, plain_wav, read_header, read_samples, stream_samples

Record = Callable[..., Path]


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_are_those_of_soundfile(tmp_path: Path, record: Record, suffix: str, subtype: str) -> None:
    if suffix == "flac" and subtype not in ("PCM_16", "PCM_24"):
        suffix = "wav"
    path = record(tmp_path / f"a.{suffix}", subtype=subtype)
    samples, header = read_samples(path, rate=16_000, channel=0)
    expected = soundfile.read(path)[0] * 32768
    assert samples.dtype == np.int16
    assert np.abs(samples - expected).max() <= 1  # libsndfile drops the low bits of 24 and 32, we round floats
    assert (header.rate, header.channels, header.frames) == (16_000, 1, 8_000)


def test_16_bit_audio_is_bit_exact(tmp_path: Path, record: Record) -> None:
    for suffix in ("wav", "flac"):
        path = record(tmp_path / f"a.{suffix}")
        assert np.array_equal(read_samples(path, rate=16_000, channel=0)[0], soundfile.read(path, dtype="int16")[0])


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_channel_or_the_mean_of_eight(tmp_path: Path, record: Record, suffix: str) -> None:
    path = record(tmp_path / f"a.{suffix}", channels=8)
    whole = soundfile.read(path, dtype="int16")[0]
    assert np.array_equal(read_samples(path, rate=16_000, channel=0)[0], whole[:, 0])
    assert np.array_equal(read_samples(path, rate=16_000, channel=7)[0], whole[:, 7])
    mean = read_samples(path, rate=16_000, channel="mean")[0]
    assert np.abs(mean - whole.mean(axis=1)).max() <= 0.5


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_another_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate), rate)
    samples, header = read_samples(path, rate=16_000, channel=0)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert header.rate == rate
    assert len(samples) == 16_000
    assert spectrum.argmax() == 1000
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.5 * 32768, rel=0.01)


def test_a_wav_with_chunks_before_its_samples_is_read(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "a.wav")
    whole = path.read_bytes()
    extra = b"LIST" + (5).to_bytes(4, "little") + b"hello\0"  # odd sizes are padded
    path.write_bytes(whole[:36] + extra + whole[36:])
    header = read_header(path)
    assert header.data_start == 44 + len(extra)
    assert np.array_equal(read_samples(path, rate=16_000, channel=0)[0], np.frombuffer(whole[44:], "<i2"))


def test_a_wav_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "a.wav")
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + b"\xff\xff\xff\xff" + whole[44:])
    assert np.array_equal(read_samples(path, rate=16_000, channel=0)[0], np.frombuffer(whole[44:], "<i2"))


def test_an_extensible_wav_is_left_to_soundfile(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "a.wav", format="WAVEX")
    assert plain_wav(path.read_bytes()[:1024], path.stat().st_size) is None
    assert len(read_samples(path, rate=16_000, channel=0)[0]) == 8_000


def broken(path: Path, how: str, record: Record) -> Path:
    if how == "missing":
        return path.with_name("gone.wav")
    record(path, subtype="FLOAT" if how == "nan" else "PCM_16", seconds=0.05 if how == "short" else 0.5)
    whole = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"<html>404 not found</html>" * 20)
    elif how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "header only":
        path.write_bytes(whole[:44])
    elif how == "damaged":
        path.write_bytes(whole[:3000] + bytes(len(whole) - 3000))
    elif how == "nan":
        soundfile.write(path, np.full(8000, np.nan), 16_000, subtype="FLOAT")
    return path


BROKEN = [
    ("a.wav", "missing", "cannot be opened"),
    ("a.wav", "empty", "empty"),
    ("a.flac", "empty", "empty"),
    ("a.wav", "text", "cannot be read as wav or flac"),
    ("a.flac", "text", "cannot be read as wav or flac"),
    ("a.wav", "truncated", "truncated"),
    ("a.flac", "truncated", "truncated|cannot be read"),
    ("a.flac", "damaged", "truncated|cannot be read"),
    ("a.wav", "header only", "truncated"),
    ("a.wav", "short", "too short"),
    ("a.flac", "short", "too short"),
    ("a.wav", "nan", "NaN"),
]


@pytest.mark.parametrize(("name", "how", "rule"), BROKEN)
def test_a_broken_file_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, record: Record, name: str, how: str, rule: str
) -> None:
    with pytest.raises(UnreadableClip, match=rule) as raised:
        read_samples(broken(tmp_path / name, how, record), rate=16_000, channel=0)
    assert raised.value.cure


def test_a_truncated_24_bit_wav_is_found_from_its_header(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "a.wav", subtype="PCM_24")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UnreadableClip, match="truncated"):
        read_header(path)


def test_a_channel_that_is_not_there_says_how_many_are(tmp_path: Path, record: Record) -> None:
    with pytest.raises(UnreadableClip, match="no channel 1 .it has 1."):
        read_samples(record(tmp_path / "a.wav"), rate=16_000, channel=1)


@pytest.mark.parametrize("channel", [0, 2, "mean"])
@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_24"), ("flac", "PCM_16")]
)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_stream_of_blocks_is_the_whole_clip(
    tmp_path: Path,
    record: Record,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    subtype: str,
    rate: int,
    channel: int | str,
) -> None:
    path = record(tmp_path / f"a.{suffix}", channels=3, rate=rate, seconds=0.7, subtype=subtype)
    monkeypatch.setattr("asd_ray.clips.audio.BLOCK", 1_000)
    pieces = list(stream_samples(path, rate=16_000, channel=channel))
    assert len(pieces) > 10
    assert np.array_equal(np.concatenate(pieces), read_samples(path, rate=16_000, channel=channel)[0])


@pytest.mark.parametrize(("name", "how", "words"), BROKEN)
def test_a_stream_says_what_is_wrong_with_a_file(
    tmp_path: Path, record: Record, name: str, how: str, words: str
) -> None:
    with pytest.raises(UnreadableClip, match=words):
        list(stream_samples(broken(tmp_path / name, how, record), rate=16_000, channel=0))


def test_a_stream_of_a_channel_that_is_not_there_says_how_many_are(tmp_path: Path, record: Record) -> None:
    with pytest.raises(UnreadableClip, match="has no channel 1"):
        list(stream_samples(record(tmp_path / "a.wav"), rate=16_000, channel=1))
