"""Read one audio file: int16 samples of one channel or of all, or an error that says what is wrong with the file."""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from asd_ray.clips.resampling import RATES, StreamResampler, resample, resampled_length

Samples = npt.NDArray[np.int16]
MEAN = "mean"
ALL = "all"
MOST_CHANNELS = 8  # that ALL keeps: MIMII has 8
SHORTEST = 0.1  # seconds; no analysis window of any family fits into a shorter clip
LONGEST = 1 << 31  # samples of all channels together: 37 hours at 16 kHz, and the most that a wav file can hold
HEAD = 1024  # bytes at the start of a file in which the header of a plain wav is searched
BLOCK = 1 << 22  # samples of all channels per decoding call, so memory follows the file's content, not its header


class UnreadableClip(Exception):
    """Why one file cannot be used, and the cure. Callers collect these errors and report them together."""

    def __init__(self, rule: str, cure: str) -> None:
        super().__init__(f"{rule}; {cure}")
        self.rule, self.cure = rule, cure


class Header(NamedTuple):
    """The fields of a file's header."""

    rate: int
    channels: int
    frames: int
    data_start: int = 0  # bytes before the samples of a plain 16-bit PCM wav; 0 if soundfile must decode the file

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


_COPY_AGAIN = "copy or download it again, or remove it"


def read_header(path: str | Path) -> Header:
    """The header of a wav or flac file, checked against the file's size."""
    descriptor = _open(path)
    try:
        header = plain_wav(os.pread(descriptor, HEAD, 0), os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    if header is None:
        with _sound(path) as file:
            header = _header(file)
    return header


def _open(path: str | Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # do not wait for the writer of a FIFO
    except OSError as error:
        raise UnreadableClip(f"cannot be opened ({error.strerror})", "fix the link or its permissions") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableClip("is not a regular file", "remove it, or put a recording in its place")
    return descriptor


def plain_wav(head: bytes | memoryview, size: int) -> Header | None:
    """The header of a RIFF file of 16-bit PCM, by far the most common kind of clip; None for any other file.

    It is parsed here, because calling a library takes longer than reading the file. soundfile reads the other files.
    """
    if size == 0:
        raise UnreadableClip("the file is empty (0 bytes)", _COPY_AGAIN)
    if len(head) < _USUAL.size:
        return None
    riff, wave, tag, channels, rate, block, bits, data, length = _USUAL.unpack_from(head)
    at = _USUAL.size
    if riff != b"RIFF" or wave[:4] != b"WAVE":
        return None
    if (wave, data) != (b"WAVEfmt \x10\0\0\0", b"data"):  # other chunks come before the samples
        chunk = _data_chunk(head)
        if chunk is None:
            return None
        (tag, channels, rate, _, block, bits), length, at = chunk
    if tag != 1 or bits != 16 or block != 2 * channels or 0 in (channels, rate):
        return None
    if at >= size:
        raise UnreadableClip("truncated: the file ends where its samples should start", _COPY_AGAIN)
    if length >= 0x7FFFFF00:  # written to a pipe, where the length was unknown: use the rest of the file
        length = size - at
    if at + length > size:
        rule = f"truncated: the header says {length // block} samples, the file holds {(size - at) // block}"
        raise UnreadableClip(rule, _COPY_AGAIN)
    return _checked(Header(rate, channels, length // block, at))


_USUAL = struct.Struct("<4s4x12sHHI4xHH4sI")  # RIFF, WAVE and a format chunk of 16 bytes, then the samples
_FORMAT = struct.Struct("<HHIIHH")


def _data_chunk(head: bytes | memoryview) -> tuple[tuple[int, ...], int, int] | None:
    """(format fields, bytes of samples, start of the samples), for chunks in any order."""
    at, fields = 12, None
    while at + 8 <= len(head):
        kind, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if kind == b"fmt " and at + 8 + _FORMAT.size <= len(head):
            fields = _FORMAT.unpack_from(head, at + 8)
        elif kind == b"data":
            return None if fields is None else (fields, length, at + 8)
        at += 8 + length + length % 2
    return None


@contextmanager
def _sound(path: str | Path) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise UnreadableClip(f"cannot be read as wav or flac ({error.error_string.strip()})", _COPY_AGAIN) from error


# libsndfile's remark on a data chunk that is shorter than the header says. "should be" alone is not enough: libsndfile
# writes it about harmless fields as well.
_CUT_SHORT = re.compile(r"^\s*data\s*:\s*\d+ \(should be", re.MULTILINE)


def _header(file: soundfile.SoundFile) -> Header:
    if _CUT_SHORT.search(file.extra_info):
        raise UnreadableClip("truncated: it holds fewer samples than its header says", _COPY_AGAIN)
    return _checked(Header(file.samplerate, file.channels, file.frames))


def _checked(header: Header) -> Header:
    """Return `header` if a clip can have these values; a false header must cost neither time nor memory."""
    if not RATES[0] <= header.rate <= RATES[1]:
        rule = f"its header says {header.rate} Hz, but clips have between {RATES[0]} and {RATES[1]} Hz"
        raise UnreadableClip(rule, "export it again with the right rate, or remove it")
    if header.seconds < SHORTEST:
        rule = f"too short: {header.frames} samples ({header.seconds:.3f} s) where {SHORTEST} s are needed"
        raise UnreadableClip(rule, "record it again, or remove it")
    _check_length(header.frames * header.channels)
    return header


def _check_length(samples: int) -> None:
    if samples > LONGEST:
        raise UnreadableClip(f"too long: {samples} samples where at most {LONGEST} are read", "cut it into clips")


def read_samples(
    path: str | Path, *, rate: int, channel: int | str, buffer: Samples | None = None
) -> tuple[Samples, Header]:
    """Decode one file to int16 at `rate`; `channel` is a number, ``mean`` or ``all``.

    The samples are [samples], or [channels, samples] with ``all``.

    A caller that decodes many clips can pass a `buffer`, because new memory for every clip costs more than reading
    the clip. The samples that are returned may be a view of this buffer.
    """
    samples, header = _plain_samples(path, channel, buffer) or _decoded(path, channel, buffer)
    if header.rate != rate:
        channels = len(samples) if samples.ndim == 2 else 1
        _check_length(channels * resampled_length(samples.shape[-1], header.rate, rate))
        samples = resampled(samples, header.rate, rate)
    return samples, header


def stream_samples(path: str | Path, *, rate: int, channel: int | str) -> Iterator[Samples]:
    """Decode one file piece by piece; joined, the pieces are what `read_samples` returns.

    Memory does not depend on the file's length. With ``all`` pieces are [channels, samples]. An error after some pieces
    means that the file is cut short.
    """
    header = read_header(path)
    _check_channel(header, channel)
    resampler = ChannelsResampler(header.channels if channel == ALL else 0, header.rate, rate)
    for block in _blocks(path, header):
        yield resampler.push(one_channel(block, channel))
    yield resampler.finish()


class ChannelsResampler:
    """A `StreamResampler` for pieces [channels, samples], or for pieces [samples] with ``channels=0``."""

    def __init__(self, channels: int, rate: int, target: int) -> None:
        self._channels = [StreamResampler(rate, target) for _ in range(max(1, channels))]
        self._is_flat = channels == 0

    def push(self, samples: Samples) -> Samples:
        if self._is_flat:
            return self._channels[0].push(samples)
        return np.stack([each.push(own) for each, own in zip(self._channels, samples, strict=True)])

    def finish(self) -> Samples:
        if self._is_flat:
            return self._channels[0].finish()
        return np.stack([each.finish() for each in self._channels])


def resampled(samples: Samples, rate: int, target: int) -> Samples:
    """The samples at another rate: [samples], or [channels, samples]."""
    if samples.ndim == 1:
        return resample(samples, rate, target)
    return np.stack([resample(channel, rate, target) for channel in samples])


def one_channel(samples: Samples, channel: int | str) -> Samples:
    """The samples of one channel, or their mean; `samples` has one row per instant, or one channel alone.

    With ALL it is [channels, samples].
    """
    if channel == ALL:
        return np.ascontiguousarray(np.atleast_2d(samples.T))
    if samples.ndim == 1:
        return samples
    if channel == MEAN:
        mean: Samples = np.rint(samples.mean(axis=1)).astype(np.int16)
        return mean
    return np.ascontiguousarray(samples[:, int(channel)])


def _check_channel(header: Header, channel: int | str) -> None:
    if channel == ALL and header.channels > MOST_CHANNELS:
        rule = f"has {header.channels} channels where at most {MOST_CHANNELS} are kept"
        raise UnreadableClip(rule, "keep one of them with --channel N, or their mean with --channel mean")
    if isinstance(channel, int) and channel >= header.channels:
        cure = "choose another --channel, or mean"
        raise UnreadableClip(f"has no channel {channel} (it has {header.channels})", cure)


def _plain_samples(path: str | Path, channel: int | str, buffer: Samples | None) -> tuple[Samples, Header] | None:
    """The samples of a plain wav, as a view of the file's content, which is read in one call; None for other files."""
    descriptor = _open(path)
    try:
        if buffer is None or len(buffer) == 0:
            header = plain_wav(os.pread(descriptor, HEAD, 0), os.fstat(descriptor).st_size)
            if header is None:
                return None
            buffer = np.empty(header.data_start // 2 + header.frames * header.channels + 2, np.int16)
        view = buffer.data.cast("B")
        bytes_read = os.preadv(descriptor, [view], 0)
        file_size = max(bytes_read, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    header = plain_wav(view[: min(bytes_read, HEAD)], file_size)
    if header is None or header.data_start % 2 or sys.byteorder != "little":
        return None
    start = header.data_start // 2
    end = start + header.frames * header.channels
    if end > len(buffer):
        return _plain_samples(path, channel, None)
    if 2 * end > bytes_read:
        raise UnreadableClip("truncated while it was read", _COPY_AGAIN)
    _check_channel(header, channel)
    samples = buffer[start:end]
    return one_channel(samples if header.channels == 1 else samples.reshape(-1, header.channels), channel), header


def _blocks(path: str | Path, header: Header) -> Iterator[Samples]:
    """The samples of a file in pieces, at its own rate, with all its channels."""
    if header.data_start:
        yield from _plain_blocks(path, header)
        return
    with _sound(path) as file:
        yield from _decoded_blocks(file, header, None)


def _plain_blocks(path: str | Path, header: Header) -> Iterator[Samples]:
    step = 2 * header.channels
    left = header.frames * step
    with open(_open(path), "rb") as file:
        file.seek(header.data_start)
        while left:
            data = file.read(min(left, max(1, BLOCK // header.channels) * step))
            if not data or len(data) % step:
                raise UnreadableClip("truncated while it was read", _COPY_AGAIN)
            left -= len(data)
            samples = np.frombuffer(data, "<i2").astype(np.int16, copy=False)
            yield samples if header.channels == 1 else samples.reshape(-1, header.channels)


def _decoded(path: str | Path, channel: int | str, buffer: Samples | None) -> tuple[Samples, Header]:
    """The samples of any file that soundfile reads."""
    with _sound(path) as file:
        header = _header(file)
        _check_channel(header, channel)
        pieces = [one_channel(block, channel) for block in _decoded_blocks(file, header, buffer)]
    return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)), header


def _decoded_blocks(file: soundfile.SoundFile, header: Header, buffer: Samples | None) -> Iterator[Samples]:
    read = _float_block if file.subtype in ("FLOAT", "DOUBLE") else _block
    decoded = 0
    while decoded < header.frames:
        count = min(header.frames - decoded, max(1, BLOCK // header.channels))
        block = read(file, count, buffer if count == header.frames else None)
        if len(block) == 0:
            break
        yield block
        decoded += len(block)
    if decoded != header.frames:
        raise UnreadableClip(
            f"truncated: the header says {header.frames} samples, but only {decoded} can be decoded", _COPY_AGAIN
        )


def _block(file: soundfile.SoundFile, frames: int, buffer: Samples | None) -> Samples:
    count = frames * file.channels
    samples = buffer[:count] if buffer is not None and len(buffer) >= count else np.empty(count, np.int16)
    samples = samples[: file.buffer_read_into(samples.data, dtype="int16") * file.channels]
    return samples if file.channels == 1 else samples.reshape(-1, file.channels)


def _float_block(file: soundfile.SoundFile, frames: int, buffer: Samples | None) -> Samples:
    """Float samples are scaled here, because libsndfile would round ±1.0 to 0. `buffer`, of int16, is not used."""
    samples = file.read(frames, dtype="float32")
    if not np.isfinite(samples).all():
        raise UnreadableClip("contains NaN or infinite samples", "export it again, or remove it")
    scaled: Samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return scaled
