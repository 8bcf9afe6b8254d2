from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from asd_ray.clips.resampling import resample
from asd_ray.deploy.watch.cutting import Cutting
from asd_ray.deploy.watch.pcm_stream import PcmStream
from asd_ray.deploy.watch.source import Broken, Window
from asd_ray.errors import AsdRayError
from benchmarks._band_scorer import noise

CUTTING = Cutting(4_000, 1.0, 0.5)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            assert end == ends[1]  # a test closed it


def sent(data: bytes, piece: int = 1 << 16, stream_at: int = 4_000, cutting: Cutting = CUTTING, **how: object) -> list:
    """What a stream gives for these bytes, without its pauses."""

    def write(end: int) -> None:
        for at in range(0, len(data), piece):
            os.write(end, data[at : at + piece])
        os.close(end)

    with pipe() as (reading, writing):
        writer = threading.Thread(target=write, args=(writing,))
        writer.start()
        stream = PcmStream(reading, stream_at, **how)  # type: ignore[arg-type]
        found = [item for item in stream.windows(cutting, threading.Event()) if item is not None]
        writer.join()
    return found


@pytest.mark.parametrize("piece", [1 << 16, 4_097, 3])
def test_windows_of_a_pipe_are_those_of_the_samples(piece: int) -> None:
    sound = noise(3.2)[:9_001]
    windows = sent(sound.tobytes(), piece)
    assert [(window.offset, window.seconds, window.whole) for window in windows] == [
        (0.0, 1.0, True),
        (0.5, 1.0, True),
        (1.0, 1.0, True),
        (1.25, 1.0, True),
    ]
    assert all((each.samples == sound[round(4000 * each.offset) :][:4000]).all() for each in windows[:3])


@pytest.mark.parametrize("rate", [48_000, 44_100, 8_000])
def test_other_rates_are_resampled_as_a_whole_clip_would_be(rate: int) -> None:
    sound = noise(2.5, rate=rate)
    wanted = resample(sound, rate, 4_000)
    windows = sent(sound.tobytes(), 5_000, rate)
    assert len(windows) == 4
    for window in windows:
        start = round(4_000 * window.offset)
        assert (window.samples == wanted[start : start + 4_000]).all()


def test_a_channel_or_the_mean_is_used() -> None:
    left, right = noise(1.0, 1), noise(1.0, 2)
    both = np.stack([left, right], axis=1).tobytes()
    for channel, wanted in (
        (0, left),
        (1, right),
        ("mean", np.rint((left.astype(float) + right) / 2).astype(np.int16)),
    ):
        (window,) = sent(both, 1_001, channels=2, channel=channel)
        assert (window.samples == wanted).all()


def test_half_a_sample_at_the_end_is_named() -> None:
    *windows, broken = sent(noise(1.0).tobytes() + b"x")
    assert len(windows) == 1
    assert isinstance(broken, Broken)
    assert "the input ends within a sample: 1 of 2 bytes" in broken.reason


def test_a_short_stream_is_one_short_window() -> None:
    (window,) = sent(noise(0.3).tobytes())
    assert (window.seconds, window.whole) == (0.3, False)
    assert sent(b"") == []


@pytest.mark.parametrize("head", [b"RIFF\x24\x00\xff\x7fWAVEfmt ", b"fLaC\x00\x00\x00\x22"])
@pytest.mark.parametrize("piece", [100, 1])
def test_a_file_with_a_header_is_refused(head: bytes, piece: int) -> None:
    with pytest.raises(AsdRayError, match="-t raw to arecord"):
        sent(head + bytes(1000), piece)


def test_times_follow_from_the_start() -> None:
    windows = sent(noise(2.0).tobytes(), began=NOON)
    assert [window.began - NOON for window in windows] == [timedelta(seconds=s) for s in (0, 0.5, 1.0)]


def test_times_follow_the_clock_after_a_pause() -> None:
    """The recorder delivers 1 s, pauses for a minute, and delivers another second."""
    now = [1000.0]
    with pipe() as (reading, writing):
        stream = PcmStream(reading, 4_000, clock=lambda: now[0])
        found = stream.windows(Cutting(4_000, 1.0, 1.0), threading.Event())
        os.write(writing, noise(1.0).tobytes())
        first = next(item for item in found if item is not None)
        now[0] = 1061.0
        os.write(writing, noise(1.0).tobytes())
        second = next(item for item in found if item is not None)
    assert isinstance(first, Window)
    assert isinstance(second, Window)
    assert [first.began.timestamp(), second.began.timestamp()] == [999.0, 1060.0]
    assert (first.offset, second.offset) == (0.0, 1.0)


def test_a_pause_is_reported_so_that_live_windows_are_scored() -> None:
    with pipe() as (reading, writing):
        found = PcmStream(reading, 4_000).windows(CUTTING, threading.Event())
        os.write(writing, noise(1.0).tobytes())
        items = [next(found)]
        while not (items[-1] is None and any(items)):  # a pause may be reported before the first sample, too
            items.append(next(found))
        assert [type(item).__name__ for item in items if item] == ["Window"]


def test_stopping_ends_a_stream_that_says_nothing() -> None:
    stopping = threading.Event()
    with pipe() as (reading, _):
        found = PcmStream(reading, 4_000).windows(CUTTING, stopping)
        assert next(found) is None
        stopping.set()
        assert list(found) == []


def test_a_fast_writer_waits_while_nobody_reads() -> None:
    """Memory stays bounded: the writer is held up when 4 MiB are being cut and 4 MiB wait."""
    written, block = [0], bytes(1 << 16)

    def write(end: int) -> None:
        try:
            for _ in range(400):
                written[0] += os.write(end, block)
        except OSError:
            pass

    stopping = threading.Event()
    with pipe() as (reading, writing):
        found = PcmStream(reading, 4_000).windows(CUTTING, stopping)
        threading.Thread(target=write, args=(writing,), daemon=True).start()
        while next(found) is None:
            pass
        time.sleep(0.5)
        assert written[0] < 9 << 20  # of 25 MiB; the pipe and one block come on top
        stopping.set()
        list(found)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"rate": 1}, "rate must be between"),
        ({"channels": 0}, "--channels must be"),
        ({"channels": 2, "channel": 2}, "--channel 2: the stream has 2 channels"),
        ({"channel": -1}, "--channel -1"),
    ],
)
def test_impossible_streams_are_refused(how: dict[str, int], words: str) -> None:
    with pytest.raises(AsdRayError, match=words):
        PcmStream(0, **{"rate": 48_000, **how})


def test_a_descriptor_that_cannot_be_read_is_an_error() -> None:
    folder = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(AsdRayError, match="standard input cannot be read"):
            list(PcmStream(folder, 4_000).windows(CUTTING, threading.Event()))
    finally:
        os.close(folder)
