"""One audio file in, int16 samples of one channel out; what is wrong with it is said in words."""

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

from asd_ray.clips.resampling import RATES, resample, resampled_length

Samples = npt.NDArray[np.int16]
MEAN = "mean"
SHORTEST = 0.1  # seconds; below it no analysis window of any family fits
LONGEST = 1 << 31  # samples of all channels together: 37 hours at 16 kHz, and the largest that a wav file can hold
HEAD = 1024  # bytes of a file in which a plain wav's header is looked for
BLOCK = 1 << 22  # samples of all channels that are decoded at once; memory follows what a file holds, not its claims


class UnreadableClip(Exception):
    """Why one file cannot be used, and the cure; collected, so that all of them are named at once."""

    def __init__(self, rule: str, cure: str) -> None:
        super().__init__(f"{rule}; {cure}")
        self.rule, self.cure = rule, cure


class Header(NamedTuple):
    """What a file's header tells."""

    rate: int
    channels: int
    frames: int
    data_start: int = 0  # bytes before the samples of a plain 16-bit PCM wav; 0 = soundfile must decode it

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


_AGAIN = "copy or download it again, or remove it"


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
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # else a FIFO waits for its writer
    except OSError as error:
        raise UnreadableClip(f"cannot be opened ({error.strerror})", "fix the link or its permissions") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableClip("is no regular file", "remove it, or put a recording in its place")
    return descriptor


def plain_wav(head: bytes | memoryview, size: int) -> Header | None:
    """The header of a RIFF file of 16-bit PCM, by far the most common clip: read without a library, since a
    library call costs more than the read itself. None for anything unusual, which soundfile then reads."""
    if size == 0:
        raise UnreadableClip("the file is empty (0 bytes)", _AGAIN)
    if len(head) < _USUAL.size:
        return None
    riff, wave, tag, channels, rate, block, bits, data, length = _USUAL.unpack_from(head)
    at = _USUAL.size
    if riff != b"RIFF" or wave[:4] != b"WAVE":
        return None
    if (wave, data) != (b"WAVEfmt \x10\0\0\0", b"data"):  # other chunks stand before the samples
        found = _data_chunk(head)
        if found is None:
            return None
        (tag, channels, rate, _, block, bits), length, at = found
    if tag != 1 or bits != 16 or block != 2 * channels or 0 in (channels, rate):
        return None
    if at >= size:
        raise UnreadableClip("truncated: the file ends where its samples should start", _AGAIN)
    if length >= 0x7FFFFF00:  # written to a pipe, where the length is not known: all that follows
        length = size - at
    if at + length > size:
        rule = f"truncated: the header says {length // block} samples, the file holds {(size - at) // block}"
        raise UnreadableClip(rule, _AGAIN)
    return _possible(Header(rate, channels, length // block, at))


_USUAL = struct.Struct("<4s4x12sHHI4xHH4sI")  # RIFF, WAVE and a format chunk of 16 bytes, then the samples
_FORMAT = struct.Struct("<HHIIHH")


def _data_chunk(head: bytes | memoryview) -> tuple[tuple[int, ...], int, int] | None:
    """(format fields, bytes of samples, where they start), wherever in `head` the chunks are."""
    at, form = 12, None
    while at + 8 <= len(head):
        kind, length = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if kind == b"fmt " and at + 8 + _FORMAT.size <= len(head):
            form = _FORMAT.unpack_from(head, at + 8)
        elif kind == b"data":
            return None if form is None else (form, length, at + 8)
        at += 8 + length + length % 2
    return None


@contextmanager
def _sound(path: str | Path) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise UnreadableClip(f"cannot be read as wav or flac ({error.error_string.strip()})", _AGAIN) from error


# How libsndfile tells of a data chunk shorter than its header says; it says "should be" of harmless fields, too.
_CUT_SHORT = re.compile(r"^\s*data\s*:\s*\d+ \(should be", re.MULTILINE)


def _header(file: soundfile.SoundFile) -> Header:
    if _CUT_SHORT.search(file.extra_info):
        raise UnreadableClip("truncated: it holds fewer samples than its header says", _AGAIN)
    return _possible(Header(file.samplerate, file.channels, file.frames))


def _possible(header: Header) -> Header:
    """`header` if a clip can be as it says: no other claim may cost time or memory."""
    if not RATES[0] <= header.rate <= RATES[1]:
        rule = f"its header says {header.rate} Hz; clips have between {RATES[0]} and {RATES[1]} Hz"
        raise UnreadableClip(rule, "export it again with the right rate, or remove it")
    if header.seconds < SHORTEST:
        rule = f"too short: {header.frames} samples ({header.seconds:.3f} s) where {SHORTEST} s are needed"
        raise UnreadableClip(rule, "record it again, or remove it")
    _short_enough(header.frames * header.channels)
    return header


def _short_enough(samples: int) -> None:
    if samples > LONGEST:
        raise UnreadableClip(f"too long: {samples} samples where at most {LONGEST} are read", "cut it into clips")


def read_samples(
    path: str | Path, *, rate: int, channel: int | str, room: Samples | None = None
) -> tuple[Samples, Header]:
    """Decode one file to int16 at `rate`; `channel` is a number or ``mean``.

    A caller that needs the samples only for a moment may lend `room` for them: fresh memory for every clip costs
    more than reading it. What is returned may lie in it.
    """
    samples, header = _plain_samples(path, channel, room) or _decoded(path, channel, room)
    if header.rate != rate:
        _short_enough(resampled_length(len(samples), header.rate, rate))
        samples = resample(samples, header.rate, rate)
    return samples, header


def _one_channel(samples: Samples, channel: int | str) -> Samples:
    if samples.ndim == 1:
        return samples
    if channel == MEAN:
        mean: Samples = np.rint(samples.mean(axis=1)).astype(np.int16)
        return mean
    return np.ascontiguousarray(samples[:, int(channel)])


def _check_channel(header: Header, channel: int | str) -> None:
    if isinstance(channel, int) and channel >= header.channels:
        cure = "choose another --channel, or mean"
        raise UnreadableClip(f"has no channel {channel} (it has {header.channels})", cure)


def _plain_samples(path: str | Path, channel: int | str, room: Samples | None) -> tuple[Samples, Header] | None:
    """A plain wav, whole file in one read: its samples are a view of what was read. None for any other file."""
    descriptor = _open(path)
    try:
        if room is None or len(room) == 0:
            header = plain_wav(os.pread(descriptor, HEAD, 0), os.fstat(descriptor).st_size)
            if header is None:
                return None
            room = np.empty(header.data_start // 2 + header.frames * header.channels + 2, np.int16)
        view = room.data.cast("B")
        size = os.preadv(descriptor, [view], 0)
        whole = max(size, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    header = plain_wav(view[: min(size, HEAD)], whole)
    if header is None or header.data_start % 2 or sys.byteorder != "little":
        return None
    start = header.data_start // 2
    end = start + header.frames * header.channels
    if end > len(room):  # it does not fit
        return _plain_samples(path, channel, None)
    if 2 * end > size:
        raise UnreadableClip("truncated while it was read", _AGAIN)
    _check_channel(header, channel)
    samples = room[start:end]
    return _one_channel(samples if header.channels == 1 else samples.reshape(-1, header.channels), channel), header


def _decoded(path: str | Path, channel: int | str, room: Samples | None) -> tuple[Samples, Header]:
    with _sound(path) as file:
        header = _header(file)
        _check_channel(header, channel)
        read = _float_block if file.subtype in ("FLOAT", "DOUBLE") else _block
        pieces, got = [], 0
        while got < header.frames:
            count = min(header.frames - got, max(1, BLOCK // header.channels))
            block = read(file, count, room if count == header.frames else None)
            if len(block) == 0:
                break
            pieces.append(_one_channel(block, channel))
            got += len(block)
    if got != header.frames:
        raise UnreadableClip(f"truncated: the header says {header.frames} samples, {got} decode", _AGAIN)
    return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)), header


def _block(file: soundfile.SoundFile, frames: int, room: Samples | None) -> Samples:
    count = frames * file.channels
    samples = room[:count] if room is not None and len(room) >= count else np.empty(count, np.int16)
    samples = samples[: file.buffer_read_into(samples.data, dtype="int16") * file.channels]
    return samples if file.channels == 1 else samples.reshape(-1, file.channels)


def _float_block(file: soundfile.SoundFile, frames: int, room: Samples | None) -> Samples:
    """libsndfile would round ±1.0 to 0 instead of scaling."""
    samples = file.read(frames, dtype="float32")
    if not np.isfinite(samples).all():
        raise UnreadableClip("holds NaN or infinite samples", "export it again, or remove it")
    scaled: Samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return scaled
