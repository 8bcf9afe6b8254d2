"""A profile of the training clips of one machine id: their rates, lengths, levels, and their usual spectrum.

A bundle holds it, so that it can warn of sound that is unlike all training clips, and so that an explanation knows what
is normal in each frequency band. No detector uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from asd_ray._shapes import Items, ListOf, Number, Shape, Whole, fault, object_of
from asd_ray.clips.bank import ClipSet
from asd_ray.errors import AsdRayError

WINDOW, HOP = 1024, 512  # samples of the spectrum
FLOOR_DB = -120.0  # of levels and spectra: digital silence
FULL_SCALE = 32768.0
MOST_CLIPS = 400  # whose levels are measured, spread over all clips of the id
MOST_SPECTRA = 50  # clips whose spectra are measured, also spread

PAIR = Items((Number(-1e9, 1e9),) * 2)
SHAPE: Shape = object_of(
    clips=Whole(1),
    rates=ListOf(Whole(1), 1),
    channels=ListOf(Whole(1), 1),
    seconds=PAIR,
    usual_seconds=Number(0, 1e9),
    level_db=PAIR,
    clipped=Number(0, 1),
    spectrum_db=ListOf(Number(-1e4, 1e4), 1),
)


@dataclass(frozen=True)
class SoundProfile:
    """The lowest and the highest of each property, over the training clips of one id."""

    clips: int
    rates: tuple[int, ...]  # Hz of the files, before they were resampled
    channels: tuple[int, ...]  # of the files
    seconds: tuple[float, float]
    usual_seconds: float  # the median
    level_db: tuple[float, float]  # RMS of a clip relative to full scale
    clipped: float  # the largest share of samples at full scale of any clip
    spectrum_db: tuple[float, ...]  # median level of each frequency bin over all spectra, from 0 Hz to half the rate

    def to_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], where: str = "a sound profile") -> Self:
        if problem := fault(SHAPE, stored):
            raise AsdRayError(f"{where}: {problem}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        return cls(**values)


def profiles_of(clips: ClipSet) -> dict[str, SoundProfile]:
    """Id -> profile of its clips; "" is the profile of all of them."""
    ids = clips.frame["id"].to_numpy(str)
    groups = {id: np.flatnonzero(ids == id) for id in sorted(set(ids.tolist())) if id} | {"": np.arange(len(clips))}
    return {id: _profile(clips.take(positions)) for id, positions in groups.items() if len(positions)}


def _profile(clips: ClipSet) -> SoundProfile:
    frame = clips.frame
    levels, clipped = zip(*(level_and_clipping(clips.samples(i)) for i in _spread(len(clips), MOST_CLIPS)), strict=True)
    spectra = np.concatenate([spectrum_db(clips.samples(i)) for i in _spread(len(clips), MOST_SPECTRA)])
    return SoundProfile(
        clips=len(clips),
        rates=tuple(sorted(set(frame["rate"].tolist()))),
        channels=tuple(sorted(set(frame["channels"].tolist()))),
        seconds=(round(float(frame["seconds"].min()), 4), round(float(frame["seconds"].max()), 4)),
        usual_seconds=round(float(frame["seconds"].median()), 4),
        level_db=(round(min(levels), 2), round(max(levels), 2)),
        clipped=max(clipped),
        spectrum_db=tuple(np.round(np.median(spectra, axis=0), 2).tolist()),
    )


def spectrum_db(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """[frames, WINDOW // 2 + 1]: levels of the frames of a clip, by a Hann window. A short clip is padded with 0."""
    wave = np.pad(samples.astype(np.float32) / FULL_SCALE, (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=1))
    return (20 * np.log10(np.maximum(magnitude, 10 ** (FLOOR_DB / 20)))).astype(np.float32)


def level_and_clipping(samples: npt.NDArray[np.int16]) -> tuple[float, float]:
    """The RMS of the samples in dB relative to full scale, and the share of samples at full scale."""
    wave = samples.astype(np.float32) / np.float32(FULL_SCALE)
    power = float(np.dot(wave, wave)) / max(1, len(wave))
    share = float(np.mean((samples >= 32767) | (samples <= -32768))) if len(samples) else 0.0
    return max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-13)))), share


def _spread(count: int, most: int) -> list[int]:
    """At most `most` positions, spread evenly over `count`."""
    return [int(position) for position in np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))]
