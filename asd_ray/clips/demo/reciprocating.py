"""The reciprocating demo machines: a piston pump, a slide rail, a solenoid valve.

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
    amplitude,
    angle,
    band,
    crossings,
    falling,
    impacts,
    jitter,
    noise,
    scattered,
    tones,
    wander,
)


@dataclass(frozen=True)
class PumpUnit:
    crank_hz: float  # at rated flow
    modes: tuple[Mode, ...]  # of the pump head, excited by the strokes


PUMPS = (
    PumpUnit(4.1, (Mode(310.0, 0.06), Mode(920.0, 0.03, -6))),
    PumpUnit(4.6, (Mode(350.0, 0.05), Mode(1010.0, 0.03, -8))),
    PumpUnit(3.7, (Mode(280.0, 0.07), Mode(860.0, 0.035, -5))),
    PumpUnit(4.3, (Mode(330.0, 0.06), Mode(980.0, 0.03, -7))),
)
PISTONS = np.array([1.0, 0.93, 1.05])  # relative force of each piston's stroke
PUMP_FAULTS = {
    "cavitation": -0.06,  # collapsing bubbles: dense crackle
    "leak": -0.05,  # a high hiss
    "weak_piston": 0.0,  # every third stroke is weak
    "contamination": 0.05,  # grit: irregular knocks
    "air_lock": -0.05,  # the flow fluctuates
}


def pump(draw: Draw, unit: int, condition: Condition, n: int, fault: Fault) -> Sound:
    """Mains hum, one stroke per piston, flow noise modulated by the strokes, a little crackle."""
    specs = PUMPS[unit]
    turn = angle(draw, specs.crank_hz * condition.speed * draw.normal(1.0, 0.012) * (1 + wander(draw, n, 2.0, 0.004)))
    hum = tones(draw, angle(draw, np.full(n, 50.0 * draw.normal(1.0, 0.001))), [-14, -8, -24, -13, -30, -18, -34, -24])

    strokes = crossings(turn, 1 / len(PISTONS), draw, slip=0.02)
    which = np.arange(len(strokes)) % len(PISTONS)
    force = PISTONS[which] * draw.normal(1.0, 0.06, len(strokes))
    force = np.where(which == 1, force * (1 - fault.amount("weak_piston", 0.3, 1.0)), force)
    beat = impacts(n, strokes, 3.2 * force, specs.modes)

    swell = 1 + 0.35 * np.cos(len(PISTONS) * turn)
    gulps = fault.amount("air_lock", 0.05, 0.6) * np.tanh(1.5 * wander(draw, n, 0.35, 1.0))
    flow = noise(draw, n, [(60, -8), (500, 0), (1500, -5), (8000, -24)]) * swell * (1 + gulps)
    pops = scattered(draw, n, 6.0 + fault.amount("cavitation", 10, 200))
    bubble = [Mode(3700.0, 0.006), Mode(5200.0, 0.004, -3)]
    crackle = impacts(n, pops, draw.exponential(0.55, len(pops)), bubble)
    sound = jitter(draw, 0.6) * hum + jitter(draw, 0.7) * beat * (1 + 0.3 * gulps) + jitter(draw, 0.7) * 0.7 * flow
    sound += jitter(draw, 0.9) * crackle

    hiss = noise(draw, n, band(3500, 6500, 12)) * (1 + 0.2 * wander(draw, n, 0.5, 1.0))
    sound += hiss * fault.gain("leak", -28, -10)
    grit = scattered(draw, n, 1.5) if fault.kind == "contamination" else np.zeros(0)
    knocks = impacts(n, grit, 1.0, [Mode(560.0, 0.03), Mode(1900.0, 0.02)])
    return sound + knocks * fault.gain("contamination", -2, 14)


@dataclass(frozen=True)
class SliderUnit:
    whine_hz: float  # of the motor at full travel speed
    seconds: float  # of travel in one direction, at rated speed
    stop: tuple[Mode, ...]  # the resonances excited when the carriage stops


SLIDERS = (
    SliderUnit(1150.0, 0.62, (Mode(420.0, 0.08), Mode(1750.0, 0.03, -4))),
    SliderUnit(1230.0, 0.68, (Mode(460.0, 0.07), Mode(1900.0, 0.03, -5))),
    SliderUnit(1080.0, 0.58, (Mode(390.0, 0.09), Mode(1640.0, 0.035, -3))),
    SliderUnit(1180.0, 0.65, (Mode(440.0, 0.08), Mode(1820.0, 0.03, -6))),
)
SLIDER_FAULTS = {
    "scratched_rail": 0.0,  # a tick at one place of each stroke
    "dry_rail": 0.08,  # louder friction with more treble
    "loose_belt": -0.05,  # the belt flaps after each stop
    "late_stroke": 0.0,  # some pauses are too long
    "worn_screw": 0.08,  # a warbling whine
}
RAMP = 0.12  # seconds to reach full speed, and to stop
DWELL = 0.22  # seconds of pause at each end


def slider(draw: Draw, unit: int, condition: Condition, n: int, fault: Fault) -> Sound:
    """A motor whose pitch rises and falls with each stroke, friction on the rail, a knock at each end."""
    specs = SLIDERS[unit]
    travel = specs.seconds / condition.speed
    count = int(n / RATE / (travel + DWELL)) + 3
    rests = DWELL * draw.normal(1.0, 0.05, count)
    late = draw.random(count) < 0.4  # with a worn switch, the carriage sometimes starts late
    rests = rests * np.where(late, 1 + fault.amount("late_stroke", 0.3, 2.5), 1.0)
    starts = np.cumsum(np.concatenate(([0.0], travel + rests[:-1]))) - draw.random() * (travel + DWELL)
    stops = starts + travel
    corners = np.stack([starts, starts + RAMP, stops - RAMP, stops], axis=1).ravel()
    pace = np.interp(np.arange(n) / RATE, corners, np.tile([0.0, 1.0, 1.0, 0.0], count))  # 0 at rest … 1

    turn = angle(draw, pace * specs.whine_hz * condition.speed * draw.normal(1.0, 0.008))
    screw = np.cos(turn / 24)  # one turn of the screw: 24 motor poles
    worn = fault.amount("worn_screw", 0.3, 2.0)
    whine = tones(draw, turn + 0.8 * worn * screw, falling(-6.0, 6.0, 5)) * pace * (1 + 0.4 * worn * screw)
    dry = fault.amount("dry_rail", 0.1, 1.0)
    rail = noise(draw, n, [(200, -10), (900, 0), (3000, -7 + 4 * dry), (8000, -22 + 10 * dry)]) * pace**0.7
    ends = impacts(n, stops, 5.0 * draw.normal(1.0, 0.1, count), specs.stop)
    sound: Sound = jitter(draw, 0.8) * whine + jitter(draw, 0.7) * (1 + 0.4 * dry) * rail
    sound += jitter(draw, 0.8) * ends

    scratch = starts + travel * 0.37  # the same place, passed in both directions
    scratch[1::2] = starts[1::2] + travel * 0.63
    ticks = impacts(n, scratch, 1.0, [Mode(2700.0, 0.02), Mode(4100.0, 0.015, -3)])
    sound += ticks * fault.gain("scratched_rail", 2, 20)
    flaps = np.concatenate([stops + 0.035, stops + 0.062, stops + 0.095])
    weights = np.repeat([0.8, 0.5, 0.3], count)
    return sound + impacts(n, flaps, weights, [Mode(780.0, 0.03), specs.stop[1]]) * fault.gain("loose_belt", 0, 20)


@dataclass(frozen=True)
class ValveUnit:
    body: tuple[Mode, ...]  # the resonances excited when the plunger lands
    hiss_hz: float  # the centre frequency of the air's noise


VALVES = (
    ValveUnit((Mode(1350.0, 0.035), Mode(3900.0, 0.018, -2), Mode(6100.0, 0.010, -5)), 4200.0),
    ValveUnit((Mode(1460.0, 0.032), Mode(4200.0, 0.017, -3), Mode(6400.0, 0.010, -6)), 4600.0),
    ValveUnit((Mode(1270.0, 0.038), Mode(3650.0, 0.020, -1), Mode(5800.0, 0.011, -4)), 3900.0),
    ValveUnit((Mode(1400.0, 0.034), Mode(4050.0, 0.018, -4), Mode(6250.0, 0.010, -5)), 4400.0),
)
VALVE_FAULTS = {
    "missing_click": 0.0,  # some clicks are weak or absent
    "late_click": 0.0,  # some clicks come late
    "leak": 0.0,  # air hisses while the valve is shut
    "bounce": 0.0,  # the plunger lands twice
    "contamination": 0.05,  # dirt damps the landing and its treble
}
SHUT = 0.8  # force of the knock on shutting, relative to opening


def valve(draw: Draw, unit: int, condition: Condition, n: int, fault: Fault) -> Sound:
    """Clicks in the rhythm of the condition: the valve opens, air flows, the valve shuts."""
    specs = VALVES[unit]
    period, *marks = condition.pattern
    cycles = int(n / RATE / period) + 3
    begin = np.arange(cycles)[:, None] * period - draw.random() * period
    clicks = begin + np.array(marks)[None, :] + draw.normal(0.0, 0.002, (cycles, len(marks)))
    delayed = draw.random(clicks.shape) < 0.35
    clicks = clicks + delayed * draw.uniform(0.3, 1.0, clicks.shape) * fault.amount("late_click", 0.02, 0.16)
    force = np.tile([1.0, SHUT], len(marks) // 2) * draw.normal(1.0, 0.08, clicks.shape)
    missing = (draw.random(clicks.shape) < 0.4) * fault.amount("missing_click", 0.5, 1.0)
    force = 8.0 * jitter(draw, 0.7) * force * (1 - missing)

    dirt = fault.amount("contamination", 0.05, 0.7)
    body = [
        Mode(m.hz * (1 - 0.07 * dirt), m.seconds * (1 - 0.5 * dirt), m.db - 5 * dirt * i)
        for i, m in enumerate(specs.body)
    ]
    sound = impacts(n, clicks.ravel(), force.ravel(), body)
    again = clicks + draw.uniform(0.014, 0.030, clicks.shape)
    sound += impacts(n, again.ravel(), 0.5 * force.ravel(), body) * fault.gain("bounce", -8, 4)

    edges = np.stack([clicks[:, ::2], clicks[:, ::2] + 0.01, clicks[:, 1::2], clicks[:, 1::2] + 0.01], axis=2).ravel()
    order = np.maximum.accumulate(edges)  # a late click may pass the next one
    opened = np.interp(np.arange(n) / RATE, order, np.tile([0.0, 1.0, 1.0, 0.0], edges.size // 4))
    air = noise(draw, n, band(specs.hiss_hz / 1.6, specs.hiss_hz * 1.6, 9))
    flow: Sound = amplitude(-16) * jitter(draw, 0.9) * opened + fault.gain("leak", -26, -9) * (1 - opened)
    return sound + air * flow
