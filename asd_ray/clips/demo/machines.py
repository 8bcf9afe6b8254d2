"""The five machines of the demo set: their operating conditions, their faults, and how one clip is recorded.

The sounds are synthesised from simple physics: rotation, blades, strokes, clicks, resonances. Each machine has four
ids (units of the same model), two domains (operating point and position of the microphone) and five faults.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_ray.clips.demo.reciprocating import PUMP_FAULTS, SLIDER_FAULTS, VALVE_FAULTS, pump, slider, valve
from asd_ray.clips.demo.rotating import CAR_FAULTS, FAN_FAULTS, fan, toy_car
from asd_ray.clips.demo.sound import (
    RATE,
    Condition,
    Draw,
    Fault,
    Mode,
    Sound,
    amplitude,
    angle,
    equalise,
    impacts,
    jitter,
    noise,
    scattered,
    tilted,
    tones,
    wander,
)
from asd_ray.clips.table import CLEAN, NOISE

IDS = 4
DRIVE_DB = -20.0  # the whine of a motor drive or coil, relative to the machine
DOMAINS = ("source", "target")
Recipe = Callable[[Draw, int, Condition, int, Fault], Sound]  # stream, id, condition, samples, fault


@dataclass(frozen=True)
class Machine:
    name: str
    recipe: Recipe
    faults: Mapping[str, float]  # kind -> relative shift of the drive's whine at the worst severity
    rms: float  # of the recipe's output at rated speed, in the unit of the recipe
    snr_db: float  # machine over factory noise, RMS over a clip of the source domain
    level_db: float  # of the machine in the file, dB relative to full scale
    drive_hz: tuple[float, ...]  # per id: the whine of the drive, a weak line that differs from unit to unit
    source: tuple[Condition, ...]
    target: tuple[Condition, ...]

    def conditions(self, domain: str) -> tuple[Condition, ...]:
        return self.source if domain == "source" else self.target


def _fan(vel: int, loc: str, speed: float, place: int) -> Condition:
    return Condition((("vel", str(vel)), ("loc", loc)), speed, place)


def _pump(flow: int, kind: str, speed: float, place: int, noise_db: float = 0.0) -> Condition:
    return Condition((("flow", str(flow)), ("f-n", kind)), speed, place, noise_db=noise_db)


def _slider(vel: int, speed: float, place: int) -> Condition:
    return Condition((("vel", str(vel)), ("loc", "AB"[place])), speed, place)


def _valve(name: str, place: int, *pattern: float) -> Condition:
    return Condition((("pat", name), ("loc", "AB"[place])), 1.0, place, pattern)


def _car(volts: int, mic: int) -> Condition:
    return Condition((("spd", f"{volts}V"), ("mic", str(mic))), volts / 34.0, mic - 1)


FAN = Machine(
    name="fan",
    recipe=fan,
    faults=FAN_FAULTS,
    rms=1.13,
    snr_db=4.0,
    level_db=-27.0,
    drive_hz=(2300.0, 2750.0, 3300.0, 3900.0),
    source=(_fan(2, "A", 0.93, 0), _fan(3, "A", 1.0, 0), _fan(4, "A", 1.07, 0)),
    target=(_fan(3, "B", 1.0, 1), _fan(5, "B", 1.14, 1)),
)
PUMP = Machine(
    name="pump",
    recipe=pump,
    faults=PUMP_FAULTS,
    rms=1.06,
    snr_db=3.5,
    level_db=-27.0,
    drive_hz=(3500.0, 4100.0, 4800.0, 5600.0),
    source=(_pump(30, "A", 0.9, 0), _pump(40, "A", 1.0, 0), _pump(50, "A", 1.1, 0)),
    target=(_pump(40, "B", 1.0, 1, 1.5), _pump(60, "B", 1.2, 1, 1.5)),
)
SLIDER = Machine(
    name="slider",
    recipe=slider,
    faults=SLIDER_FAULTS,
    rms=0.92,
    snr_db=2.5,
    level_db=-28.0,
    drive_hz=(3300.0, 3900.0, 4600.0, 5400.0),
    source=(_slider(300, 0.92, 0), _slider(350, 1.0, 0), _slider(400, 1.08, 0)),
    target=(_slider(350, 1.0, 1), _slider(450, 1.17, 1)),
)
VALVE = Machine(
    name="valve",
    recipe=valve,
    faults=VALVE_FAULTS,
    rms=0.54,
    snr_db=-2.0,
    level_db=-33.0,
    drive_hz=(2900.0, 3500.0, 4200.0, 5000.0),
    source=(_valve("00", 0, 0.90, 0.0, 0.35), _valve("01", 0, 1.10, 0.0, 0.20, 0.45, 0.70)),
    target=(_valve("00", 1, 0.90, 0.0, 0.35), _valve("02", 1, 1.00, 0.0, 0.50, 0.65, 0.80)),
)
TOY_CAR = Machine(
    name="ToyCar",
    recipe=toy_car,
    faults=CAR_FAULTS,
    rms=1.12,
    snr_db=4.0,
    level_db=-27.0,
    drive_hz=(2900.0, 3500.0, 4200.0, 5000.0),
    source=(_car(31, 1), _car(34, 1), _car(40, 1)),
    target=(_car(28, 2), _car(34, 2)),
)
MACHINES = {machine.name: machine for machine in (FAN, PUMP, SLIDER, VALVE, TOY_CAR)}


def record(
    machine: Machine, unit: int, condition: Condition, n: int, fault: Fault, draw: Draw, only: str = ""
) -> npt.NDArray[np.int16]:
    """One clip of `n` samples: the machine plus factory noise, filtered by room and microphone.

    `only` names one of the two, CLEAN or NOISE, as in supplemental clips.
    """
    sound, background = sources(machine, unit, condition, n, fault, draw, only)
    wave = equalise(sound + background, response(machine.name, unit, condition.place, draw))
    wave *= amplitude(machine.level_db) * jitter(draw, 1.2)
    peak = float(np.max(np.abs(wave)))
    wave *= min(1.0, 0.97 / peak)  # a lower gain instead of clipping
    return np.round(wave * 32767).astype(np.int16)


def sources(
    machine: Machine, unit: int, condition: Condition, n: int, fault: Fault, draw: Draw, only: str = ""
) -> tuple[Sound, Sound]:
    """The machine and the factory noise, before room and microphone; silence in place of what `only` leaves out."""
    sound = machine.recipe(draw, unit, condition, n, fault) / machine.rms
    load = fault.severity * machine.faults.get(fault.kind, 0.0)
    drive = machine.drive_hz[unit] * (1 + load) * draw.normal(1.0, 0.002) * (1 + wander(draw, n, 0.5, 0.001))
    sound += tones(draw, angle(draw, drive), [DRIVE_DB]) * jitter(draw, 1.0)
    background = factory(draw, n, condition.place) * amplitude(condition.noise_db - machine.snr_db)
    return sound * float(only != NOISE), background * jitter(draw, 0.6) * float(only != CLEAN)


def factory(draw: Draw, n: int, place: int) -> Sound:
    """The noise of the factory hall, RMS about 1: a rumble, a hum, and an occasional knock of other machines."""
    rumble = noise(draw, n, tilted(draw.normal(-3.5 - 0.25 * place, 0.15))) * (1 + wander(draw, n, 0.8, 0.06))
    knocks = scattered(draw, n, 0.25)
    tools = impacts(n, knocks, draw.exponential(1.2, len(knocks)), [Mode(800.0, 0.12), Mode(2100.0, 0.06, -4)])
    line = 97.0 * draw.normal(1.0, 0.05) * (1 + wander(draw, n, 3.0, 0.002))  # Hz: a distant compressor
    hum = tones(draw, 2 * np.pi * np.cumsum(line) / RATE, [-22, -18, -26, -30])
    return rumble + tools + jitter(draw, 3.0) * hum


BANDS = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)  # Hz, octaves


def response(machine: str, unit: int, place: int, draw: Draw) -> list[tuple[float, float]]:
    """The response of room and microphone as (Hz, dB) per octave band: fixed for a unit and a place, with a small
    random change per clip."""
    fixed = np.random.default_rng([zlib.crc32(machine.encode()), unit])
    gains_db = fixed.normal(0.0, 0.3, len(BANDS)) + place * fixed.normal(0.0, 0.5, len(BANDS))
    gains_db += draw.normal(0.0, 0.3, len(BANDS))
    return list(zip(BANDS, gains_db.tolist(), strict=True))
