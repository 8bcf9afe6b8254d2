"""One audio file in, int16 samples of one channel out; what is wrong with it is said in words."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.int16]
MEAN = "mean"
SHORTEST = 0.1  # seconds; below it no analysis window of any family fits


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
        header = plain_wav(os.pread(descriptor, 1024, 0), os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    if header is None:
        with _sound(path) as file:
            header = _header(file)
    return header


def _open(path: str | Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableClip(f"cannot be opened ({error.strerror})", "mend the link or its permissions") from error


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
    if length >= 0x7FFFFF00:  # written to a pipe, where the length is not known: all that follows
        length = size - at
    if at + length > size:
        rule = f"truncated: the header says {length // block} samples, the file holds {(size - at) // block}"
        raise UnreadableClip(rule, _AGAIN)
    return _long_enough(Header(rate, channels, length // block, at))


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


def _header(file: soundfile.SoundFile) -> Header:
    if "should be" in file.extra_info:  # libsndfile's word for a data chunk shorter than its header says
        raise UnreadableClip("truncated: it holds fewer samples than its header says", _AGAIN)
    return _long_enough(Header(file.samplerate, file.channels, file.frames))


def _long_enough(header: Header) -> Header:
    if header.seconds < SHORTEST:
        rule = f"too short: {header.frames} samples ({header.seconds:.3f} s) where {SHORTEST} s are needed"
        raise UnreadableClip(rule, "record it again, or remove it")
    return header


def read_samples(
    path: str | Path, *, rate: int, channel: int | str, room: Samples | None = None
) -> tuple[Samples, Header]:
    """Decode one file to int16 at `rate`; `channel` is a number or ``mean``.

    A caller that needs the samples only for a moment may lend `room` for them: fresh memory for every clip costs
    more than reading it. What is returned may lie in it.
    """
    samples, header = _plain_samples(path, room) or _decoded(path, room)
    if isinstance(channel, int) and channel >= header.channels:
        cure = "choose another --channel, or mean"
        raise UnreadableClip(f"has no channel {channel} (it has {header.channels})", cure)
    if samples.ndim == 2:
        if channel == MEAN:
            samples = np.rint(samples.mean(axis=1)).astype(np.int16)
        else:
            samples = np.ascontiguousarray(samples[:, int(channel)])
    if header.rate != rate:
        samples = resample(samples, header.rate, rate)
    return samples, header


def _plain_samples(path: str | Path, room: Samples | None) -> tuple[Samples, Header] | None:
    """A plain wav, whole file in one read: its samples are a view of what was read. None for any other file."""
    descriptor = _open(path)
    try:
        if room is None or len(room) == 0:
            room = np.empty(os.fstat(descriptor).st_size // 2 + 1, np.int16)
        view = room.data.cast("B")
        size = os.preadv(descriptor, [view], 0)
    finally:
        os.close(descriptor)
    if size == room.nbytes:  # there may be more
        return _plain_samples(path, None)
    header = plain_wav(view[: min(size, 1024)], size)
    if header is None or header.data_start % 2 or sys.byteorder != "little":
        return None
    start = header.data_start // 2
    samples = room[start : start + header.frames * header.channels]
    return (samples if header.channels == 1 else samples.reshape(-1, header.channels)), header


def _decoded(path: str | Path, room: Samples | None) -> tuple[Samples, Header]:
    with _sound(path) as file:
        header = _header(file)
        if file.subtype in ("FLOAT", "DOUBLE"):  # libsndfile would round ±1.0 to 0 instead of scaling
            return _from_float(file.read(dtype="float32")), header
        count = header.frames * header.channels
        samples = room[:count] if room is not None and len(room) >= count else np.empty(count, np.int16)
        got = file.buffer_read_into(samples.data, dtype="int16")
    if got != header.frames:
        raise UnreadableClip(f"truncated: the header says {header.frames} samples, {got} decode", _AGAIN)
    return (samples if header.channels == 1 else samples.reshape(-1, header.channels)), header


def _from_float(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    if not np.isfinite(samples).all():
        raise UnreadableClip("holds NaN or infinite samples", "export it again, or remove it")
    scaled: Samples = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return scaled


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Band-limited resampling by torchaudio; the length is ceil(samples · wanted / rate)."""
    import torch  # the many datasets that are 16 kHz already never wait for torch

    wave = torch.from_numpy(samples.astype(np.float32))
    resampled = _resampler(rate, wanted)(wave)
    done: Samples = resampled.round_().clamp_(-32768, 32767).to(torch.int16).numpy()
    return done


@lru_cache(maxsize=16)
def _resampler(rate: int, wanted: int) -> Any:
    from asd_ray._torchaudio import transforms

    return transforms.Resample(rate, wanted)
