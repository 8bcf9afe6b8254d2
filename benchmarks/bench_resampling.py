"""Resampling by soxr against torchaudio, which it replaced: time and memory per clip, and the error of both.

The Nyquist frequency is half of a rate; "lower" means the lower of the two rates.

    error  for a tone at half of the lower Nyquist frequency: the difference from that tone at the wanted rate
    alias  the level that remains of a tone 10 % above the wanted Nyquist frequency
    noise  the difference from a filter of 2,048 zero crossings in float64, for noise up to 0.85 of the lower Nyquist
           frequency
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from math import gcd
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import soundfile

from asd_ray.clips.bank import open_bank
from asd_ray.clips.resampling import resample
from asd_ray.clips.scan import scan
from benchmarks._timing import Row

WANTED, SECONDS, ROUNDS = 16_000, 10, 15
RATES = (8_000, 22_050, 44_100, 48_000, 48_828, 96_000, 44_101)
KERNEL = 60_000_000  # the largest torchaudio kernel, in taps, to try: the one for 44,101 Hz runs out of memory
BANK_RATES, BANK_CLIPS = (22_050, 44_100, 48_000), 60
Samples = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]


def run() -> Iterator[Row]:
    for rate in RATES:
        mine = _apart(ours, rate)
        told = f"{mine[0] * 1e3:.1f} ms of one core, {mine[1]:.0f} MiB, error {mine[2]:.0f} dB, alias {mine[3]:.0f} dB"
        told += f", noise {mine[4]:.0f} dB"
        if taps(rate) > KERNEL:
            yield f"a clip of {SECONDS} s from {rate} Hz", "torchaudio", float("inf"), f"{told} against out of memory"
            continue
        old = _apart(torchaudio, rate)
        against = f"{old[0] * 1e3:.1f} ms, {old[1]:.0f} MiB, {old[2]:.0f} dB, {old[3]:.0f} dB, {old[4]:.0f} dB"
        yield f"a clip of {SECONDS} s from {rate} Hz", "torchaudio", old[0] / mine[0], f"{told} against {against}"
    for rate in BANK_RATES:
        yield _bank(rate)


def _bank(rate: int) -> Row:
    """Processor time of a whole bank. torchaudio runs in the threads of the pool, as it did in asd_ray before."""
    import torch

    def built(cache: Path) -> float:
        started = time.process_time()
        open_bank(table, cache=cache)
        return (time.process_time() - started) / BANK_CLIPS * 1e3

    def old(samples: Samples, rate: int, wanted: int) -> Samples:
        return torchaudio(samples, rate)

    threads, mine, theirs = torch.get_num_threads(), [], []
    noise = (np.random.default_rng(0).standard_normal(SECONDS * rate) * 1000).astype(np.int16)
    torchaudio(noise[: rate // 5], rate)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "normal").mkdir()
        for i in range(BANK_CLIPS):
            soundfile.write(Path(temporary) / "normal" / f"{i}.wav", np.roll(noise, i), rate)
        table = scan(temporary)
        for i in range(ROUNDS // 3):
            mine.append(built(Path(temporary) / f"ours{i}"))
            with mock.patch("asd_ray.clips.audio.resample", old):
                theirs.append(built(Path(temporary) / f"theirs{i}"))
    ratio = float(np.median(np.array(theirs) / np.array(mine)))
    detail = f"{np.median(mine):.1f} against {np.median(theirs):.1f} ms of processor time a clip"
    return f"a bank of clips at {rate} Hz", "torchaudio in soxr's place", ratio, detail


def taps(rate: int) -> int:
    """The taps of torchaudio's kernel, which has one filter per phase of the wanted rate."""
    common = gcd(rate, WANTED)
    up, down = WANTED // common, rate // common
    return up * (2 * int(np.ceil(6 * max(down / (0.99 * min(up, down)), 1))) + down)


def ours(samples: Samples, rate: int) -> Samples:
    return resample(samples, rate, WANTED)


def torchaudio(samples: Samples, rate: int) -> Samples:
    import torch

    from asd_ray._torchaudio import transforms

    if rate not in _KERNELS:
        torch.set_num_threads(1)
        _KERNELS[rate] = transforms.Resample(rate, WANTED)
    wave = _KERNELS[rate](torch.from_numpy(samples.astype(np.float32)))
    done: Samples = wave.round_().clamp_(-32768, 32767).to(torch.int16).numpy()
    return done


_KERNELS: dict[int, Any] = {}


def _apart(which: Callable[[Samples, int], Samples], rate: int) -> tuple[float, float, float, float, float]:
    """Measure one resampler in its own process, so that its peak memory is not that of the other."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (which, rate))


def measured(which: Callable[[Samples, int], Samples], rate: int) -> tuple[float, float, float, float, float]:
    """(seconds of processor time per clip, MiB of added memory, dB of the error, of the alias, of the noise)."""
    noise = (np.random.default_rng(0).standard_normal(SECONDS * rate) * 1000).astype(np.int16)
    which(noise[: rate // 5], 48_000)  # loads the libraries before memory is measured
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    which(noise, rate)
    mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        which(noise, rate)
        times.append(time.process_time() - started)
    return min(times), mib, error_of_tone(which, rate), alias(which, rate), error_of_noise(which, rate)


def tone(hertz: float, rate: int, seconds: int = 2) -> Floats:
    wave: Floats = 20_000 * np.sin(2 * np.pi * hertz * np.arange(seconds * rate) / rate + 0.3)
    return wave


def decibels(part: Floats, whole: Floats) -> float:
    middle = slice(len(part) // 4, -len(part) // 4)
    return float(10 * np.log10((np.mean(part[middle] ** 2) + 1e-6) / np.mean(whole[middle] ** 2)))


def error_of_tone(which: Callable[[Samples, int], Samples], rate: int) -> float:
    hertz = min(rate, WANTED) / 4 + 1.3
    wanted = tone(hertz, WANTED)
    return decibels(which(np.rint(tone(hertz, rate)).astype(np.int16), rate) - wanted, wanted)


def alias(which: Callable[[Samples, int], Samples], rate: int) -> float:
    """What remains of a tone above the wanted Nyquist frequency; when the rate goes up, the level of the image."""
    if rate > WANTED:
        heard = which(np.rint(tone(0.55 * WANTED, rate)).astype(np.int16), rate).astype(np.float64)
        return decibels(heard, tone(0.55 * WANTED, WANTED))
    low = 0.45 * rate
    heard = which(np.rint(tone(low, rate)).astype(np.int16), rate).astype(np.float64)
    window = np.hanning(len(heard))
    spectrum = np.abs(np.fft.rfft(heard * window))
    image = round((rate - low) * len(heard) / WANTED)
    return float(20 * np.log10(spectrum[image - 3 : image + 4].max() / spectrum.max()))


def error_of_noise(which: Callable[[Samples, int], Samples], rate: int) -> float:
    """The difference from a Kaiser-windowed sinc of 2,048 zero crossings, at 400 instants of band-limited noise."""
    count = 2 * rate
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(count))
    spectrum[np.arange(len(spectrum)) / 2 > 0.85 * min(rate, WANTED) / 2] = 0
    noise = np.fft.irfft(spectrum, count)
    samples = np.rint(noise / np.abs(noise).max() * 32_000).astype(np.int16)
    heard = which(samples, rate).astype(np.float64)
    at = np.arange(WANTED // 2 + 1, WANTED * 3 // 2, WANTED // 400 + 1)
    wanted = np.array([long_filter(samples, rate, n / WANTED) for n in at])
    return float(10 * np.log10(np.mean((heard[at] - wanted) ** 2) / np.mean(wanted**2)))


def long_filter(samples: Samples, rate: int, seconds: float, crossings: int = 1024) -> float:
    """The value at one instant, from a low pass at the lower Nyquist frequency with `crossings` on each side."""
    cutoff = min(rate, WANTED) / rate
    reach = int(crossings / cutoff)
    first = max(0, int(seconds * rate) - reach)
    part = samples[first : int(seconds * rate) + reach].astype(np.float64)
    away = np.arange(first, first + len(part)) - seconds * rate
    window = np.i0(14 * np.sqrt(np.maximum(0, 1 - (away / (reach + 1)) ** 2))) / np.i0(14.0)
    return float(np.sum(part * np.sinc(away * cutoff) * cutoff * window))
