"""The building blocks of the demo machines: tones on a shaft, coloured noise, ringing impacts, a filter.

Every function computes a whole clip at once. Levels are in dB relative to an RMS of 1, times in seconds, frequencies
in Hz, angles in radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATE = 16000  # Hz, the rate of every DCASE Task 2 recording
TOP = 0.97 * RATE / 2  # Hz: partials above this are left out, as by an anti-aliasing filter
Sound = npt.NDArray[np.float64]
Draw = np.random.Generator


@dataclass(frozen=True)
class Mode:
    """One resonance of a structure: it rings at `hz` and decays by 60 dB in `seconds`."""

    hz: float
    seconds: float
    db: float = 0.0


@dataclass(frozen=True)
class Condition:
    """How the machine is run and recorded; `attributes` go into the file's name and the attribute table."""

    attributes: tuple[tuple[str, str], ...]
    speed: float = 1.0  # relative to the rated speed
    place: int = 0  # position of the microphone: each one has its own frequency response
    pattern: tuple[float, ...] = ()  # of a valve, in seconds: the period, then the times of opening and shutting
    noise_db: float = 0.0  # extra level of the factory noise


@dataclass(frozen=True)
class Fault:
    """What is wrong with the machine in one clip.

    A recipe calls `amount` or `gain` for every kind of fault that it knows. They return 0 for any kind other than this
    fault's, so a recipe needs no branches.
    """

    kind: str
    severity: float  # 0 (barely audible) … 1 (clearly audible)

    def amount(self, kind: str, least: float, most: float) -> float:
        """The size of an effect between `least` and `most` by severity; 0 without this fault."""
        return least + (most - least) * self.severity if kind == self.kind else 0.0

    def gain(self, kind: str, least_db: float, most_db: float) -> float:
        """The amplitude of an added sound; 0 without this fault."""
        return amplitude(self.amount(kind, least_db, most_db)) if kind == self.kind else 0.0


HEALTHY = Fault("", 0.0)


def amplitude(db: float) -> float:
    return float(10.0 ** (db / 20.0))


def jitter(draw: Draw, db: float) -> float:
    """A random gain with a standard deviation of `db`."""
    return amplitude(draw.normal(0.0, db))


def wander(draw: Draw, n: int, every: float, deviation: float) -> Sound:
    """A slow drift around 0: a new random value `every` so many seconds, with smooth transitions."""
    knots = int(np.ceil(n / (every * RATE))) + 2
    position = np.arange(n) / (every * RATE)
    left = position.astype(np.intp)
    part = position - left
    ease = part * part * (3.0 - 2.0 * part)  # no kinks at the knots
    values = draw.normal(0.0, deviation, knots)
    drift: Sound = values[left] * (1.0 - ease) + values[left + 1] * ease
    return drift


def angle(draw: Draw, hz: Sound) -> Sound:
    """The angle of a shaft that turns `hz` times per second, from a random start."""
    turned: Sound = 2 * np.pi * (np.cumsum(hz) / RATE + draw.random())
    return turned


def tones(draw: Draw, turn: Sound, levels_db: Sequence[float]) -> Sound:
    """Partials 1, 2, 3 … of a shaft at angle `turn`, each at its level and with a random phase."""
    fastest = float(np.max(np.diff(turn), initial=0.0)) * RATE / (2 * np.pi)
    first = np.exp(1j * turn)  # its powers are the partials: one exponential instead of one sine per partial
    partial = np.ones_like(first)
    total = np.zeros(len(turn))
    for order, level in enumerate(levels_db, start=1):
        partial *= first
        start = np.exp(2j * np.pi * draw.random())
        if order * fastest < TOP:
            total += amplitude(level) * np.sqrt(2) * (partial.real * start.real - partial.imag * start.imag)
    return total


def falling(first_db: float, step_db: float, count: int) -> list[float]:
    """Levels of `count` partials, each `step_db` below the one before."""
    return [first_db - step_db * k for k in range(count)]


def noise(draw: Draw, n: int, points: Sequence[tuple[float, float]]) -> Sound:
    """Noise of RMS 1. Its power density follows `points` (Hz, dB), joined by lines over log frequency."""
    hz = np.fft.rfftfreq(n, 1 / RATE)
    gains = curve(hz, points)
    gains[hz < 20.0] = 0.0  # inaudible, and no DC
    bins = draw.standard_normal(len(hz)) + 1j * draw.standard_normal(len(hz))
    bins *= gains * np.sqrt(0.5 * n * n / (2 * np.sum(gains**2)))
    return np.fft.irfft(bins, n)


def curve(hz: npt.NDArray[np.floating], points: Sequence[tuple[float, float]]) -> Sound:
    """The amplitude at each frequency of `hz`, for a response defined by a few points (Hz, dB)."""
    at, db = zip(*points, strict=True)
    gains: Sound = 10.0 ** (np.interp(np.log2(np.maximum(hz, 1.0)), np.log2(at), db) / 20.0)
    return gains


def band(low: float, high: float, slope_db: float = 24.0) -> list[tuple[float, float]]:
    """Points for `noise`: flat from `low` to `high` Hz, falling by `slope_db` per octave outside."""
    return [(low / 16, -4 * slope_db), (low, 0.0), (high, 0.0), (high * 16, -4 * slope_db)]


def tilted(db_per_octave: float) -> list[tuple[float, float]]:
    """Points for `noise`: one slope over the audible range; -3 is pink noise."""
    return [(20.0, 0.0), (20480.0, 10 * db_per_octave)]


def impacts(n: int, times: npt.ArrayLike, gains: npt.ArrayLike, modes: Sequence[Mode]) -> Sound:
    """Knocks at `times` on a structure with resonances `modes`; the peak of a knock is about its gain."""
    from scipy.fft import next_fast_len  # slow to import

    at = np.round(np.asarray(times, dtype=float) * RATE).astype(np.intp)
    weights = np.broadcast_to(np.asarray(gains, dtype=float), at.shape)
    inside = (at >= 0) & (at < n)
    hits = np.zeros(n)
    np.add.at(hits, at[inside], weights[inside])
    longest = int(max(mode.seconds for mode in modes) * RATE)
    t = np.arange(longest) / RATE
    ring = np.zeros(longest)
    for mode in modes:
        ring += amplitude(mode.db) * np.exp(-6.91 * t / mode.seconds) * np.sin(2 * np.pi * mode.hz * t)
    size = next_fast_len(n + longest, real=True)  # long enough that the end does not wrap around into the start
    knocks: Sound = np.fft.irfft(np.fft.rfft(hits, size) * np.fft.rfft(ring, size), size)[:n]
    return knocks


def crossings(turn: Sound, interval: float, draw: Draw | None = None, slip: float = 0.0) -> Sound:
    """The times at which a shaft completes another `interval` turns; `slip` is their relative random deviation."""
    marks = turn / (2 * np.pi * interval)
    wanted = np.arange(np.ceil(marks[0]), marks[-1])
    times: Sound = np.interp(wanted, marks, np.arange(len(turn)) / RATE)
    if draw is not None and slip > 0 and len(times) > 1:
        times = times + draw.normal(0.0, slip * float(np.mean(np.diff(times))), len(times))
    return times


def scattered(draw: Draw, n: int, rate: float) -> Sound:
    """The times of independent events, `rate` per second on average (a Poisson process)."""
    seconds = n / RATE
    return np.sort(draw.random(draw.poisson(rate * seconds)) * seconds)


def equalise(sound: Sound, points: Sequence[tuple[float, float]]) -> Sound:
    """Filter a sound with a response defined by a few points (Hz, dB); this removes DC as well."""
    bins = np.fft.rfft(sound)
    gains = curve(np.fft.rfftfreq(len(sound), 1 / RATE), points)
    gains[0] = 0.0
    return np.fft.irfft(bins * gains, len(sound))


def rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(sound**2)))
