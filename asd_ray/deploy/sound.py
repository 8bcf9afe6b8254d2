"""One sound to score: from a file or an array to samples at the bundle's rate, and how it differs from training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.clips.audio import SHORTEST, Samples, UnreadableClip, one_channel, read_samples, resampled
from asd_ray.clips.resampling import check_rate
from asd_ray.clips.sound_profile import SoundProfile, level_and_clipping
from asd_ray.errors import AsdRayError

MARGIN_DB = 6.0  # a level so far outside the range of the training clips gets a warning
SILENT_DB = -90.0  # below the last bit of 16: digital silence
LONGER = 2.0  # times the longest training clip, or the shortest divided by it
CLIPPED = 0.001  # share of samples at full scale that is always worth a warning if training clips have less


@dataclass(frozen=True)
class Sound:
    """A decoded sound."""

    name: str  # its path; "" for an array
    samples: Samples  # at the bundle's rate; [channels, samples] for a bundle that takes every channel
    rate: int  # Hz of the file or the array

    @property
    def first_channel(self) -> Samples:
        return self.samples if self.samples.ndim == 1 else self.samples[0]

    @classmethod
    def read(cls, path: str | Path, rate: int, channel: int | str) -> Sound:
        """Decode a file. UnreadableClip says what is wrong with it."""
        samples, header = read_samples(path, rate=rate, channel=channel)
        return cls(str(path), samples, header.rate)

    @classmethod
    def of_array(cls, array: Any, own_rate: int | None, rate: int, channel: int | str) -> Sound:
        """The sound of an array: int16, or floats within [-1, 1]; [samples] or [samples, channels]."""
        if own_rate is None:
            raise AsdRayError("an array has no sample rate of its own; give rate=…, in Hz")
        samples = _one_channel(_int16(np.asarray(array)), channel)
        length = samples.shape[-1]
        if length < SHORTEST * check_rate(own_rate):
            rule = f"too short: {length / own_rate:.3f} s where {SHORTEST} s are needed"
            raise UnreadableClip(rule, "record more")
        return cls("", samples if own_rate == rate else resampled(samples, own_rate, rate), own_rate)


def _int16(array: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    if array.dtype == np.int16:
        return array
    if array.dtype.kind != "f":
        raise AsdRayError(f"samples must be int16 or floats in [-1, 1] but are {array.dtype}")
    if not np.isfinite(array).all():
        raise UnreadableClip("contains NaN or infinite samples", "check where it was recorded")
    if len(array) and np.abs(array).max() > 8:  # a little above 1 is clipping; this is another scale
        raise AsdRayError("samples are floats far outside [-1, 1]; divide them by their full scale, such as 32768")
    return np.clip(np.rint(array * 32768.0), -32768, 32767).astype(np.int16)


def _one_channel(array: Samples, channel: int | str) -> Samples:
    if array.ndim == 1:
        return one_channel(array, channel)
    if array.ndim != 2 or not 0 < array.shape[1] <= array.shape[0]:
        raise AsdRayError(f"samples must be of shape [samples] or [samples, channels] but are {list(array.shape)}")
    if isinstance(channel, int) and channel >= array.shape[1]:
        raise UnreadableClip(f"has no channel {channel} (it has {array.shape[1]})", "record that channel")
    return one_channel(array, channel)


def unlike(sound: Sound, rate: int, profile: SoundProfile | None) -> tuple[str, ...]:
    """How a sound differs from every training clip of its id, as sentences for its user; none if it does not."""
    level, clipped = level_and_clipping(sound.first_channel)
    if level < SILENT_DB:
        return ("it is silent: check the microphone and its cable",)
    if profile is None:
        return ()
    seconds, warnings = len(sound.first_channel) / rate, []
    lowest_rate = min(*profile.rates, rate)
    if sound.rate < lowest_rate:
        warnings.append(
            f"it was recorded at {sound.rate} Hz and the training clips at {lowest_rate} Hz or more: all sound above "
            f"{sound.rate // 2} Hz is missing"
        )
    highest_rate = max(profile.rates)
    if min(sound.rate, rate) > highest_rate:
        warnings.append(
            f"the training clips were recorded at {highest_rate} Hz at most: no detector knows sound above "
            f"{highest_rate // 2} Hz, which this one may have"
        )
    low, high = profile.level_db
    if level < low - MARGIN_DB or level > high + MARGIN_DB:
        quieter = f"{low - level:.0f} dB quieter than the quietest" if level < low else ""
        louder = f"{level - high:.0f} dB louder than the loudest"
        warnings.append(f"it is {quieter or louder} training clip: check the gain and the distance of the microphone")
    shortest, longest = profile.seconds
    if seconds < shortest / LONGER or seconds > longest * LONGER:
        span = f"{shortest:g} s" if shortest == longest else f"{shortest:g} to {longest:g} s"
        warnings.append(f"it lasts {seconds:.1f} s and the training clips {span}")
    if clipped > max(CLIPPED, 3 * profile.clipped):
        warnings.append(f"{100 * clipped:.1f} % of its samples are at full scale: lower the gain")
    return tuple(warnings)
