"""Band-limited resampling by soxr: any ratio of rates, in pieces, so that memory does not depend on the ratio.

soxr's "HQ" keeps tones up to 0.9 of the lower half rate within 0.01 dB and holds aliases of all above it below
-130 dB, far below a step of int16. Samples go in and come out as float32 and are rounded here: soxr would add noise
(dither) to int16. See `python -m benchmarks resampling`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import soxr

from asd_ray.errors import AsdRayError

RATES = (100, 10_000_000)  # Hz: from slow vibration to ultrasound; what claims to be outside is a broken header
QUALITY = "HQ"
_mine = threading.local()
PIECE = 1 << 16  # samples given to soxr at once; the result does not depend on it


def check_rate(rate: int) -> int:
    """`rate` if clips can be decoded to it."""
    if not RATES[0] <= rate <= RATES[1]:
        raise AsdRayError(f"rate must be between {RATES[0]} and {RATES[1]} Hz but got {rate}; most clips are at 16000")
    return rate


def resampled_length(frames: int, rate: int, wanted: int) -> int:
    return -(-frames * wanted // rate)


def resample(samples: npt.NDArray[np.int16], rate: int, wanted: int) -> npt.NDArray[np.int16]:
    """`samples` at `wanted` Hz; the length is ceil(samples · wanted / rate). The same on every computer of one kind."""
    done = np.zeros(resampled_length(len(samples), rate, wanted), np.int16)
    at = 0
    for piece in _pieces(samples, rate, wanted):
        piece = piece[: len(done) - at]
        done[at : at + len(piece)] = np.clip(np.rint(piece, out=piece), -32768, 32767, out=piece)
        at += len(piece)
    return done


def _stream(rate: int, wanted: int) -> soxr.ResampleStream:
    """This thread's resampler of two rates, as new: designing the filter costs a tenth of a clip, or more."""
    if getattr(_mine, "rates", None) != (rate, wanted):
        _mine.stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality=QUALITY)
        _mine.rates = rate, wanted
    _mine.stream.clear()
    return _mine.stream


def _pieces(samples: npt.NDArray[np.int16], rate: int, wanted: int) -> Iterator[npt.NDArray[np.float32]]:
    stream = _stream(rate, wanted)
    for start in range(0, len(samples), PIECE):
        end = start + PIECE
        yield stream.resample_chunk(samples[start:end].astype(np.float32), last=end >= len(samples))
