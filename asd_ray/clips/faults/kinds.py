"""The kinds of faults that can be injected into a normal clip. Each is a function of the wave and of an amount.

An amount lies between 0 (hardly there) and 1 (easy to hear). What it means differs by kind, so plan.py calibrates
amounts for each machine. Two kinds take a second sound: another machine's, or another clip's.
"""

from __future__ import annotations

import typing
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from asd_ray.clips.audio import Samples
from asd_ray.clips.demo.machines import DOMAINS, IDS, MACHINES, record
from asd_ray.clips.demo.sound import HEALTHY
from asd_ray.clips.demo.sound import RATE as DEMO_RATE
from asd_ray.clips.resampling import resample

Wave = npt.NDArray[np.float64]
Draw = np.random.Generator
Kind = Callable[[Wave, int, float, Draw], Wave]  # wave, rate in Hz, amount, random stream
OTHER_MACHINE, SPLICE = "other_machine", "splice"  # the kinds that take a second sound
SPLICE_SECONDS = 0.25  # of each part of another clip
MACHINE_SECONDS = 2.0  # of another machine; they are repeated


def inject(kind: str, samples: Samples, rate: int, amount: float, draw: Draw, other: Samples | None = None) -> Samples:
    """`samples` with a fault. The kinds of `WITH_OTHER` take the sound `other`; the others do not look at it."""
    wave: Wave = samples.astype(np.float64)
    faulty: Wave
    if kind in WITH_OTHER:
        assert other is not None
        faulty = WITH_OTHER[kind](wave, other.astype(np.float64), rate, amount, draw)
    else:
        faulty = ALONE[kind](wave, rate, amount, draw)
    return typing.cast("Samples", np.clip(np.rint(faulty), -32768, 32767).astype(np.int16))


def sound_of_machine(name: str, rate: int, draw: Draw) -> Samples:
    """Two seconds of a healthy synthetic machine of the demo set."""
    machine = MACHINES[name]
    conditions = machine.conditions(str(draw.choice(DOMAINS)))
    condition = conditions[int(draw.integers(len(conditions)))]
    samples = int(MACHINE_SECONDS * DEMO_RATE)
    sound = record(machine, int(draw.integers(IDS)), condition, samples, HEALTHY, draw)
    return sound if rate == DEMO_RATE else resample(sound, DEMO_RATE, rate)


def _tone(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """A foreign tone."""
    phase = 2 * np.pi * (_frequency(draw, rate) * np.arange(len(wave)) / rate + draw.random())
    return wave + _scaled(np.sin(phase), _level(wave, amount))


def _harmonics(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """A hum with overtones, as of a bearing or a transformer."""
    base = draw.uniform(0.005, 0.03) * rate
    time = np.arange(len(wave)) / rate
    orders = range(1, min(12, int(0.45 * rate / base)) + 1)
    hum = np.sum([np.sin(2 * np.pi * (base * k * time + draw.random())) / k for k in orders], axis=0)
    return wave + _scaled(hum, _level(wave, amount))


def _impacts(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """Periodic knocks, each with a decaying resonance."""
    period = rate / draw.uniform(2.0, 12.0)
    at = np.arange(draw.random() * period, len(wave), period).astype(int)
    strikes = np.zeros(len(wave))
    strikes[at] = draw.uniform(0.6, 1.0, len(at))
    time = np.arange(int(0.05 * rate)) / rate
    ring = np.sin(2 * np.pi * _frequency(draw, rate) * time) * np.exp(-time / 0.01)
    return wave + _scaled(_convolved(strikes, ring), _level(wave, amount))


def _clicks(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """A few clicks of a sample or two at random times."""
    at = draw.integers(0, len(wave), max(2, int(3 * len(wave) / rate)))
    clicks = np.zeros(len(wave))
    clicks[at] = draw.choice([-1.0, 1.0], len(at))
    return wave + clicks * _rms(wave) * 10 ** ((36 * amount - 6) / 20)


def _amplitude(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """The level swings, as of a shaft out of balance."""
    time = np.arange(len(wave)) / rate
    return np.asarray(wave * (1 + amount * np.sin(2 * np.pi * (draw.uniform(0.7, 12.0) * time + draw.random()))))


def _frequency_swing(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """The pitch swings."""
    at = np.arange(len(wave), dtype=np.float64)
    swing = draw.uniform(0.7, 6.0) / rate  # swings per sample
    depth = 0.15 * amount**2 / (2 * np.pi * swing)  # samples; the speed changes by up to 15 %
    return _read(wave, at + depth * np.sin(2 * np.pi * (swing * at + draw.random())))


def _band_gain(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """One band of an octave is louder."""
    return _filtered(wave, rate, 24 * amount, draw)


def _band_loss(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """One band of an octave is softer."""
    return _filtered(wave, rate, -36 * amount, draw)


def _hiss(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """Noise above some frequency, as of a leak."""
    spectrum = np.fft.rfft(draw.normal(size=len(wave)))
    spectrum[np.fft.rfftfreq(len(wave), 1 / rate) < _frequency(draw, rate)] = 0
    return wave + _scaled(np.fft.irfft(spectrum, len(wave)), _level(wave, amount))


def _dropouts(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """Short pauses, as of a machine that stalls. The amount is how many there are, and how deep."""
    gain = np.ones(len(wave))
    for start in draw.integers(0, len(wave), 1 + int(2 * amount * len(wave) / rate)).tolist():
        gain[start : start + int(draw.uniform(0.03, 0.15) * rate)] = 1 - amount
    smooth = max(1, int(0.004 * rate))
    return np.asarray(wave * _convolved(gain - 1, np.ones(smooth) / smooth) + wave)


def _speed(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """The machine runs faster or slower."""
    ratio = (1 + 0.4 * amount**2) ** draw.choice([-1.0, 1.0])
    return _read(wave, np.arange(len(wave)) * ratio)


def _reversal(wave: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """A part of the clip runs backwards: the spectrum stays, and the order of events does not."""
    length = max(2, int(amount * len(wave)))
    start = int(draw.integers(0, len(wave) - length + 1))
    turned = wave.copy()
    turned[start : start + length] = wave[start : start + length][::-1]
    return turned


def _other_machine(wave: Wave, other: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """Another machine beside it."""
    return wave + _scaled(_repeated(other, len(wave), draw), _level(wave, amount))


def _splice(wave: Wave, other: Wave, rate: int, amount: float, draw: Draw) -> Wave:
    """Short parts are replaced by parts of another clip, with soft ends. The amount is the share that is replaced."""
    length = min(int(SPLICE_SECONDS * rate), len(wave))
    window = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 0.25
    share = np.zeros(len(wave))  # of the other clip, at each sample
    for start in draw.integers(0, len(wave) - length + 1, max(1, round(amount * len(wave) / length))).tolist():
        share[start : start + length] = np.maximum(share[start : start + length], window)
    return np.asarray(wave * (1 - share) + _repeated(other, len(wave), draw) * share)


ALONE: dict[str, Kind] = {
    "tone": _tone,
    "harmonics": _harmonics,
    "impacts": _impacts,
    "clicks": _clicks,
    "amplitude": _amplitude,
    "pitch": _frequency_swing,
    "band_gain": _band_gain,
    "band_loss": _band_loss,
    "hiss": _hiss,
    "dropouts": _dropouts,
    "speed": _speed,
    "reversal": _reversal,
}
WITH_OTHER = {OTHER_MACHINE: _other_machine, SPLICE: _splice}
KINDS = (*ALONE, *WITH_OTHER)


def _repeated(sound: Wave, length: int, draw: Draw) -> Wave:
    """`length` samples of a sound that starts at a random place and is repeated."""
    return np.resize(np.roll(sound, -int(draw.integers(len(sound)))), length)


def _rms(wave: Wave) -> float:
    """At least one step of int16, so that a silent clip can have a fault, too."""
    return max(1.0, float(np.sqrt(np.mean(np.square(wave - wave.mean())))))


def _level(wave: Wave, amount: float) -> float:
    """RMS of a foreign sound: 42 dB below the clip to 6 dB above it."""
    return _rms(wave) * 10 ** ((48 * amount - 42) / 20)


def _scaled(sound: Wave, rms: float) -> Wave:
    return sound * (rms / max(float(np.sqrt(np.mean(np.square(sound)))), 1e-12))


def _frequency(draw: Draw, rate: int) -> float:
    """Any frequency that the clip can hold, spread evenly over octaves."""
    return float(np.exp(draw.uniform(np.log(0.0125), np.log(0.4))) * rate)


def _filtered(wave: Wave, rate: int, gain_db: float, draw: Draw) -> Wave:
    centre = _frequency(draw, rate)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(wave), 1 / rate), 1e-3) / centre)
    gain = 10 ** (gain_db * np.exp(-0.5 * (octaves / 0.35) ** 2) / 20)
    return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave))


def _convolved(sound: Wave, kernel: Wave) -> Wave:
    size = 1 << (len(sound) + len(kernel) - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(kernel, size), size)[: len(sound)]


def _read(wave: Wave, at: Wave) -> Wave:
    """The wave at fractional positions. Beyond its ends it runs back, so that there is no click."""
    last = max(1, len(wave) - 1)
    folded = np.abs((at + last) % (2 * last) - last)
    return np.interp(folded, np.arange(len(wave)), wave)
