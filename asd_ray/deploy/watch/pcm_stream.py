"""Raw samples from a pipe: 16-bit little-endian PCM, as ``arecord -t raw`` and ``ffmpeg -f s16le`` write it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np

from asd_ray._rules import is_whole
from asd_ray.clips.audio import ALL, MEAN, ChannelsResampler, one_channel
from asd_ray.clips.audio import MOST_CHANNELS as MOST_KEPT
from asd_ray.clips.resampling import check_rate
from asd_ray.deploy.result import Samples
from asd_ray.deploy.watch.byte_buffer import ByteBuffer
from asd_ray.deploy.watch.cutting import Cutter, Cutting
from asd_ray.deploy.watch.source import Broken, Window, window_of
from asd_ray.errors import AsdRayError

NAME = "-"
READ = 1 << 16  # bytes per call; a pipe of Linux holds no more
PAUSE = 0.2  # seconds between looks at whether to stop
LATE = 5.0  # seconds: sound later than this was paused or lost, so the time is taken from the clock again
MOST_CHANNELS = 256
HEAD = 4  # bytes
HEADERS = {b"RIFF": "wav", b"RF64": "wav", b"fLaC": "flac", b"OggS": "ogg"}


class PcmStream:
    """Windows of the samples that come from a file descriptor. A thread reads, so that no recorder waits for scores.

    Times: the first sample is `began` (default: the clock when it arrives), and each later one follows from its
    position. Sound that arrives more than 5 s later than its position says has the time of the clock again: the
    recorder paused or lost sound. With `began` the clock is not used.
    """

    live = True
    files = 0

    def __init__(
        self,
        descriptor: int,
        rate: int,
        channels: int = 1,
        channel: int | str = 0,
        began: datetime | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rate = check_rate(rate)
        if not is_whole(channels) or not 1 <= channels <= MOST_CHANNELS:
            raise AsdRayError(f"--channels must be a whole number from 1 to {MOST_CHANNELS} but got {channels!r}")
        if channel not in (MEAN, ALL) and not (is_whole(channel) and 0 <= int(channel) < channels):
            raise AsdRayError(f"--channel {channel}: the stream has {channels} channels, counted from 0; or use mean")
        if channel == ALL and channels > MOST_KEPT:
            raise AsdRayError(f"--channel all: at most {MOST_KEPT} channels are kept, and the stream has {channels}")
        self.channels, self.channel = channels, channel
        self.description = f"raw 16-bit samples, {rate} Hz, {channels} channel{'s' * (channels > 1)}"
        self._descriptor, self._clock = descriptor, clock
        self._fixed = began is not None
        self._origin = began.timestamp() if began else None  # the time of the first sample

    def windows(self, cutting: Cutting, stopping: threading.Event) -> Iterator[Window | Broken | None]:
        buffer = ByteBuffer()
        threading.Thread(target=self._read, args=(buffer,), daemon=True, name="watch-reader").start()
        try:
            yield from self._cut(self._arrivals(buffer, stopping), cutting, stopping)
        except OSError as error:
            rule = f"standard input cannot be read ({error.strerror}); check the program before the pipe"
            raise AsdRayError(rule) from error
        finally:
            buffer.close()

    def _cut(
        self, arrivals: Iterator[tuple[bytes, float] | None], cutting: Cutting, stopping: threading.Event
    ) -> Iterator[Window | Broken | None]:
        resampler = ChannelsResampler(self.channels if self.channel == ALL else 0, self.rate, cutting.rate)
        cutter = Cutter(cutting)
        head = rest = b""
        read, frame = 0, 2 * self.channels
        for arrival in arrivals:
            if arrival is None:
                yield None
                continue
            data, arrived = rest + arrival[0], arrival[1]
            if len(head) < HEAD:
                head = (head + arrival[0])[:HEAD]
                _check_it_is_raw(head)
            whole = len(data) - len(data) % frame
            rest, read = data[whole:], read + whole // frame
            self._set_time(read, arrived)
            samples = np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
            heard = one_channel(samples if self.channels == 1 else samples.reshape(-1, self.channels), self.channel)
            yield from self._dated(cutter.push(resampler.push(heard)), cutting)
        if stopping.is_set():
            return
        yield from self._dated(cutter.push(resampler.finish()), cutting)
        yield from self._dated(cutter.finish(), cutting)
        if rest:
            rule = f"the input ends within a sample: {len(rest)} of {frame} bytes"
            yield Broken(NAME, f"{rule}; check --channels, and that the samples have 16 bits")

    def _dated(self, windows: Iterator[tuple[int, Samples]], cutting: Cutting) -> Iterator[Window]:
        for first, samples in windows:
            assert self._origin is not None  # there are windows only of samples that have arrived
            yield window_of(NAME, datetime.fromtimestamp(self._origin, UTC), first, samples, cutting)

    def _set_time(self, read: int, arrived: float) -> None:
        """`read` samples have arrived until the time `arrived`."""
        origin = arrived - read / self.rate
        if not self._fixed and (self._origin is None or origin - self._origin > LATE):
            self._origin = origin

    @staticmethod
    def _arrivals(buffer: ByteBuffer, stopping: threading.Event) -> Iterator[tuple[bytes, float] | None]:
        """Bytes with the time of their arrival, until the input ends; None once whenever it pauses."""
        paused = False
        while not stopping.is_set():
            arrival = buffer.take(PAUSE if paused else 0.0)
            if arrival is None:
                if not paused:
                    yield None
                paused = True
                continue
            paused = False
            if not arrival[0]:
                return
            yield arrival

    def _read(self, buffer: ByteBuffer) -> None:
        """Runs in a thread, which may still wait in `os.read` when the process ends."""
        try:
            while buffer.put(os.read(self._descriptor, READ), self._clock()):
                pass
        except OSError as error:
            buffer.fail(error)


def _check_it_is_raw(head: bytes) -> None:
    if kind := HEADERS.get(head):
        raise AsdRayError(
            f"standard input is a {kind} file, where raw 16-bit samples are needed; add -t raw to arecord or sox, or "
            "-f s16le to ffmpeg"
        )
