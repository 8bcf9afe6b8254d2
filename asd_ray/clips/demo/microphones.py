"""A clip of two channels: a microphone near the machine and one far from it, as in DCASE 2026.

Both hear the same factory noise, each through its own response. The far one hears the machine more softly and later.
The hall is louder than in the demo set of one channel, so that the far microphone is worth something.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asd_ray.clips.demo.machines import Machine, response, sources
from asd_ray.clips.demo.sound import RATE, Condition, Draw, Fault, amplitude, equalise, jitter

LOUDER_DB = 6.0  # the noise, relative to the demo set of one channel
FAR_DB = -12.0  # the machine at the far microphone, relative to the near one: four times as far away
DELAY = 9e-3  # seconds: 3 m of air


def record_both(
    machine: Machine, unit: int, condition: Condition, n: int, fault: Fault, draw: Draw, only: str = ""
) -> npt.NDArray[np.int16]:
    """[n, 2]: the near and the far microphone, with one gain. `only` is that of `record`."""
    late = round(DELAY * RATE)
    sound, background = sources(machine, unit, condition, n + late, fault, draw, only)
    background = background * amplitude(LOUDER_DB)
    near = sound[late:] + background[late:]
    far = sound[:n] * amplitude(FAR_DB) + background[late:]
    heard = [
        equalise(wave, response(f"{machine.name}{place}", unit, condition.place, draw))
        for wave, place in ((near, ""), (far, " far"))
    ]
    both = np.stack(heard, axis=1) * (amplitude(machine.level_db) * jitter(draw, 1.2))
    both *= min(1.0, 0.97 / float(np.max(np.abs(both))))
    return np.round(both * 32767).astype(np.int16)
