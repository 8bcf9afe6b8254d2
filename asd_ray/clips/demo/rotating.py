"""The rotating demo machines: a fan, and the motor and gears of a toy car.

The tables of faults hold the relative shift of the drive's whine at the worst severity (see `machines.record`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asd_ray.clips.demo.sound import (
    RATE,
    Condition,
    Draw,
    Fault,
    Mode,
    Sound,
    angle,
    band,
    crossings,
    falling,
    impacts,
    jitter,
    noise,
    tones,
    wander,
)


@dataclass(frozen=True)
class FanUnit:
    shaft_hz: float  # at rated speed
    blades: int
    tone_db: float  # blade passing, first partial
    bearing: Mode  # the resonance that a pitted bearing excites


FANS = (
    FanUnit(24.0, 5, -9.0, Mode(2500.0, 0.012)),
    FanUnit(25.5, 5, -7.0, Mode(3500.0, 0.010)),
    FanUnit(22.0, 6, -10.0, Mode(1250.0, 0.016)),
    FanUnit(23.5, 6, -8.0, Mode(1750.0, 0.014)),
)
FAN_FAULTS = {
    "imbalance": 0.05,  # louder shaft tones, air noise modulated once per turn
    "broken_blade": 0.0,  # blade tones modulated once per turn
    "bearing": 0.0,  # a pitted outer race: a train of short rings
    "clogging": -0.07,  # less treble in the air noise, weaker blade tones, slightly faster
    "rubbing": 0.08,  # blade tips rub on the shroud once per turn
}
OUTER_RACE = 3.57  # balls that pass a point of the outer race per turn: a common deep-groove bearing with nine balls


def fan(draw: Draw, unit: int, condition: Condition, n: int, fault: Fault) -> Sound:
    """Turbulence modulated by the passing blades, blade tones, shaft tones."""
    specs = FANS[unit]
    clogged = fault.amount("clogging", 0.2, 1.2)
    imbalance = fault.amount("imbalance", 0.15, 1.0)
    broken = fault.amount("broken_blade", 0.15, 1.0)
    slip = condition.speed * draw.normal(1.0, 0.012) * (1 + 0.03 * clogged)  # an unloaded fan runs faster
    turn = angle(draw, specs.shaft_hz * slip * (1 + wander(draw, n, 1.5, 0.003)))
    once = np.cos(turn + 2 * np.pi * draw.random())
    passing = np.cos(specs.blades * turn)

    blades = tones(draw, specs.blades * turn, falling(specs.tone_db - 4 * clogged, 4.5, 9)) * (1 + 0.8 * broken * once)
    shaft = tones(draw, turn, falling(-18.0, 3.0, 6)) + 0.5 * imbalance * tones(draw, turn, falling(0.0, 3.0, 8))
    air = noise(draw, n, [(50, 3), (400, 0), (2000, -12 - 5 * clogged), (8000, -30 - 7 * clogged)])
    air *= 1 + 0.25 * passing + 0.4 * imbalance * once + 0.5 * broken * once
    sound: Sound = jitter(draw, 0.7) * blades + jitter(draw, 0.7) * shaft
    sound += jitter(draw, 0.6) * (1 + 0.25 * clogged) * air

    pits = crossings(turn, 1 / OUTER_RACE, draw, slip=0.02)
    sound += impacts(n, pits, draw.normal(1.0, 0.2, len(pits)), [specs.bearing]) * fault.gain("bearing", -14, 8)
    touching = np.maximum(once, 0.0) ** 12  # the blade tips touch the shroud for a twelfth of a turn
    sound += noise(draw, n, band(1500, 4500)) * touching * fault.gain("rubbing", -16, 6)
    return sound


@dataclass(frozen=True)
class CarUnit:
    motor_hz: float  # at rated voltage
    teeth: int  # of the pinion on the motor's shaft
    ratio: float  # motor turns per wheel turn
    body: tuple[Mode, ...]  # the resonances that the wheels excite


CARS = (
    CarUnit(62.0, 10, 7.2, (Mode(640.0, 0.040), Mode(1450.0, 0.020, -5))),
    CarUnit(66.0, 10, 7.2, (Mode(700.0, 0.035), Mode(1600.0, 0.020, -6))),
    CarUnit(59.0, 11, 7.8, (Mode(590.0, 0.045), Mode(1380.0, 0.025, -4))),
    CarUnit(64.0, 11, 7.8, (Mode(660.0, 0.040), Mode(1520.0, 0.022, -5))),
)
CAR_FAULTS = {
    "bent_shaft": 0.06,  # pitch and gear mesh modulated once per wheel turn
    "chipped_gear": 0.0,  # one knock per wheel turn
    "voltage_sag": -0.08,  # slower at times
    "loose_wheel": 0.06,  # irregular rattle
    "dry_gear": 0.07,  # louder gear mesh, rubbing with more treble
}


def toy_car(draw: Draw, unit: int, condition: Condition, n: int, fault: Fault) -> Sound:
    """The whine of a direct-current motor, gear mesh, wheels that rattle over the joints of the track."""
    specs = CARS[unit]
    bent = fault.amount("bent_shaft", 0.1, 1.0)
    dry = fault.amount("dry_gear", 0.1, 1.0)
    sag = fault.amount("voltage_sag", 0.02, 0.14)
    run = draw.normal(1.0, 0.015) * condition.speed * (1 - sag * (0.5 + 0.5 * np.tanh(2 * wander(draw, n, 0.7, 1.0))))
    drive = specs.motor_hz * run * (1 + wander(draw, n, 0.8, 0.006))
    wheel_start = 2 * np.pi * draw.random()
    wheel = np.cos(np.cumsum(drive) * 2 * np.pi / RATE / specs.ratio + wheel_start)
    turn = angle(draw, drive * (1 + 0.02 * bent * wheel))

    whine = tones(draw, 3 * turn, falling(-10.0, 2.5, 14))  # three poles: six brush contacts per turn, in pairs
    mesh = tones(draw, specs.teeth * turn, falling(-7.0 + 4 * dry, 5.0 - 2 * dry, 6)) * (1 + 0.1 * wheel)
    mesh *= 1 + 0.7 * bent * wheel
    rub = noise(draw, n, [(100, -6), (700, 0), (1500, -8), (8000, -28 + 8 * dry)]) * (1 + 0.15 * wheel)
    joints = crossings(turn, specs.ratio / 2, draw, slip=0.06)
    rattle = impacts(n, joints, 2.5 * np.abs(draw.normal(1.0, 0.4, len(joints))), specs.body)
    sound = jitter(draw, 0.7) * whine + jitter(draw, 0.9) * mesh + jitter(draw, 0.7) * 0.8 * rub
    sound += jitter(draw, 0.9) * 0.6 * rattle

    teeth = crossings(turn, specs.ratio, draw, slip=0.003)  # one bad tooth on the wheel's gear
    sound += impacts(n, teeth, 1.0, [Mode(2600.0, 0.015), specs.body[1]]) * fault.gain("chipped_gear", -12, 12)
    loose = crossings(turn, specs.ratio / 5, draw, slip=0.4)
    shakes = impacts(n, loose, np.abs(draw.normal(0.0, 1.0, len(loose))), specs.body)
    return sound + shakes * fault.gain("loose_wheel", -2, 14)
