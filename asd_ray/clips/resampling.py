"""Band-limited resampling by soxr, for any ratio of rates. It works in pieces, so memory does not depend on the ratio.

soxr's "HQ" keeps tones up to 0.9 of the lower half rate within 0.01 dB. It keeps aliases of everything above that rate
below -130 dB, far below one step of int16. soxr gets and returns float32, and the result is rounded here, because soxr
would add noise (dither) to int16. See `python -m benchmarks resampling`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import soxr

from asd_ray.errors import AsdRayError

RATES = (100, 10_000_000)  # Hz: from slow vibration to ultrasound; a header with another rate is broken
QUALITY = "HQ"
PIECE = 1 << 16  # samples per call of soxr; the result does not depend on it
_thread = threading.local()


def check_rate(rate: int) -> int:
    """Return `rate`, or raise AsdRayError if clips cannot be decoded to it."""
    if not RATES[0] <= rate <= RATES[1]:
        raise AsdRayError(f"rate must be between {RATES[0]} and {RATES[1]} Hz but got {rate}; most clips are at 16000")
    return rate


def resampled_length(frames: int, rate: int, wanted: int) -> int:
    return -(-frames * wanted // rate)


def resample(samples: npt.NDArray[np.int16], rate: int, wanted: int) -> npt.NDArray[np.int16]:
    """`samples` at `wanted` Hz; the length is ceil(samples · wanted / rate).

    The result is the same on all computers with the same kind of processor.
    """
    resampled = np.zeros(resampled_length(len(samples), rate, wanted), np.int16)
    start = 0
    for piece in _pieces(samples, rate, wanted):
        piece = piece[: len(resampled) - start]
        resampled[start : start + len(piece)] = _rounded(piece)
        start += len(piece)
    return resampled


class StreamResampler:
    """Resamples sound that arrives in blocks and may never end. Joined, its output is what `resample` returns.

    Each has a filter of its own, so several streams can be resampled side by side.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        self._rates = rate, wanted
        self._stream = None if rate == wanted else _new_stream(rate, wanted)
        self._read = self._returned = 0

    def push(self, block: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """The samples that follow from one more block. The filter keeps back the last few milliseconds."""
        if self._stream is None:
            return block
        self._read += len(block)
        samples = _rounded(self._stream.resample_chunk(block.astype(np.float32))).astype(np.int16)
        self._returned += len(samples)
        return samples

    def finish(self) -> npt.NDArray[np.int16]:
        """The samples that the filter kept back. Called once, after the last block."""
        if self._stream is None:
            return np.zeros(0, np.int16)
        rest = np.zeros(max(0, resampled_length(self._read, *self._rates) - self._returned), np.int16)
        last = _rounded(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))[: len(rest)]
        rest[: len(last)] = last
        return rest


def _rounded(piece: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`piece`, changed in place to whole numbers that int16 can hold."""
    return np.clip(np.rint(piece, out=piece), -32768, 32767, out=piece)


def _new_stream(rate: int, wanted: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality=QUALITY)


def _stream(rate: int, wanted: int) -> soxr.ResampleStream:
    """This thread's resampler, reset. It is kept: designing its filter takes a tenth of the time of a clip, or more."""
    if getattr(_thread, "rates", None) != (rate, wanted):
        _thread.stream = _new_stream(rate, wanted)
        _thread.rates = rate, wanted
    _thread.stream.clear()
    return _thread.stream


def _pieces(samples: npt.NDArray[np.int16], rate: int, wanted: int) -> Iterator[npt.NDArray[np.float32]]:
    stream = _stream(rate, wanted)
    for start in range(0, len(samples), PIECE):
        end = start + PIECE
        yield stream.resample_chunk(samples[start:end].astype(np.float32), last=end >= len(samples))
