"""Rainbowgrams (Kim et al. Fig. 1): log magnitude as brightness, and how fast the phase turns as hue.

They were introduced by Engel et al., "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders", ICML 2017.
A steady tone is a line of one colour. Where the phase is not continuous, the colour changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_ray.clips.audio import Samples
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.table import ANOMALY, NORMAL
from asd_ray.deploy.explain.picture import TICKS
from asd_ray.errors import AsdRayError
from asd_ray.figures.constant_q import ConstantQ, phase_advance
from asd_ray.figures.drawing import page, plain, set_caption
from asd_ray.figures.request import Request

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (3.4, 2.9)  # inches of a panel
OF_EACH = 2  # clips of each label
HOP_SECONDS = 0.016
DYNAMICS = 45.0  # dB below the loudest cell that are shown
LOWEST = 1e-9  # of a magnitude, for its logarithm
MOST_SECONDS = 10.0  # of a clip


def rainbowgrams(request: Request) -> Figure:
    """One row per machine: two anomalous clips, then two normal ones, by default of the id that the paper shows."""
    figure, panels = page(len(request.machines), 2 * OF_EACH, SIZE, request.figure.title)
    lines = []
    for machine, row in zip(request.machines, panels, strict=True):
        names = []
        for first, label in ((0, ANOMALY), (OF_EACH, NORMAL)):
            clips = _first(request, machine, label)
            for axes in row[first + len(clips) : first + OF_EACH]:
                axes.set_axis_off()
            for number, axes in enumerate(row[first : first + len(clips)]):
                _draw(axes, clips.samples(number), clips.rate, f"{machine}, {label}")
                names.append(str(clips.frame["clip"][number]))
        lines.append(f"{machine}, id {', '.join(request.ids_of(machine))}: {', '.join(names)}.")
    transform = ConstantQ(request.bank.decoding.rate, _hop(request.bank.decoding.rate))
    lines.append(
        f"Constant-Q transform from {transform.hz[0]:.0f} to {transform.hz[-1]:.0f} Hz, {transform.per_octave} bins "
        f"per octave, hop {transform.hop}. Brightness: magnitude, {DYNAMICS:g} dB below the loudest is black. Hue: "
        "advance of the phase per hop, once round the colours for a whole turn."
    )
    set_caption(figure, [*lines, *request.notes])
    return figure


def rainbow(wave: Samples, transform: ConstantQ) -> npt.NDArray[np.float64]:
    """The picture of a wave, [bands, frames, 3] in RGB."""
    from matplotlib.colors import hsv_to_rgb

    bands = transform(wave)
    decibels = 20 * np.log10(np.maximum(np.abs(bands), LOWEST))
    brightness = np.clip(1 + (decibels - decibels.max()) / DYNAMICS, 0, 1)
    hues = phase_advance(bands)
    picture: npt.NDArray[np.float64] = hsv_to_rgb(np.stack([hues, np.full_like(hues, 0.85), brightness], -1))
    return picture


def _first(request: Request, machine: str, label: str) -> ClipSet:
    """The first clips of this label, or the one that is named."""
    clips = request.test(machine, label)
    if not len(clips):
        raise AsdRayError(f"{machine}, id {', '.join(request.ids_of(machine))}: no test clip is {label}; name --id")
    return clips.take(np.arange(min(OF_EACH, len(clips))))


def _draw(axes: Axes, wave: Samples, rate: int, title: str) -> None:
    used = wave[: round(MOST_SECONDS * rate)]
    transform = ConstantQ(rate, _hop(rate))
    picture, hz = rainbow(used, transform), transform.hz
    axes.imshow(
        picture, origin="lower", aspect="auto", interpolation="nearest", extent=(0, len(used) / rate, 0, len(hz))
    )
    ticks = [tick for tick in (100, *TICKS) if hz[0] <= tick <= hz[-1]]
    places = [transform.per_octave * float(np.log2(tick / hz[0])) + 0.5 for tick in ticks]
    axes.set_yticks(places, [f"{tick // 1000} kHz" if tick >= 1000 else f"{tick} Hz" for tick in ticks])
    axes.tick_params(labelsize=7)
    axes.set_title(plain(title), fontsize=10)
    axes.set_xlabel("time in seconds", fontsize=8)


def _hop(rate: int) -> int:
    return max(1, round(HOP_SECONDS * rate))
