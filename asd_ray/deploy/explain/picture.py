"""The picture of an explanation: the spectrogram and the map beside each other, on the same axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_ray._terminal import visible
from asd_ray.deploy.explain.heat_map import HeatMap, to_hz, to_mel
from asd_ray.storage.atomic import written_aside
from asd_ray.storage.places import storage_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[tuple[float, float], tuple[float, float]]  # seconds, Hz
TICKS = (0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)  # Hz
PALE = 4.0  # times `faint` is the darkest colour
SIZE, SMALL, DPI = (13.0, 4.8), (9.0, 3.2), 110  # inches, and pixels per inch
SPECTROGRAM_COLOURS, MAP_COLOURS = "magma", "RdBu_r"  # colour maps of matplotlib
DYNAMICS = 80.0  # dB below the loudest cell that the spectrogram shows
MOST_FRAMES = 1500  # columns that a picture of this size can show


def save_picture(
    spectrogram: HeatMap,
    heat_map: HeatMap,
    faint: float,
    boxes: Sequence[Box],
    title: str,
    path: str | Path,
    size: tuple[float, float] = SIZE,
) -> Path:
    """Write a PNG. `boxes` are drawn in both parts, with their numbers. `size` is in inches, of DPI pixels each.

    Red is above 0 and blue below. Values up to `faint` stay pale, so that a map of noise does not look like a finding.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws without a screen
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    loudest = float(spectrogram.values.max())
    largest = max(float(np.abs(heat_map.values).max()), PALE * faint) or 1.0
    draw_map(right, heat_map, "where the score comes from", MAP_COLOURS, (-largest, largest))
    draw_map(left, thinned(spectrogram), "spectrogram", SPECTROGRAM_COLOURS, (max(loudest - DYNAMICS, -120.0), loudest))
    for number, box in enumerate(boxes, start=1):
        for axes, colour in ((left, "white"), (right, "black")):
            _box(axes, box, number, colour)
    lines = [line for part in title.splitlines() for line in textwrap.wrap(visible(part), 130)]
    if lines:
        figure.suptitle("\n".join(lines).replace("$", r"\$"), fontsize=11)  # a dollar would begin a formula
    path = Path(path)
    try:
        with written_aside(path) as aside:
            figure.savefig(aside, format="png", dpi=DPI)
    except OSError as error:
        raise storage_error(error, path, "the picture", "name another folder with --out") from error
    return path


def draw_map(axes: Axes, heat_map: HeatMap, title: str, colours: str, limits: tuple[float, float]) -> None:
    """Draw a map on a mel axis, with its bar of colours."""
    mesh = axes.pcolormesh(
        heat_map.seconds, heat_map.hz, heat_map.values, cmap=colours, vmin=limits[0], vmax=limits[1], rasterized=True
    )
    scale: Any = axes  # its types do not know the functions of a scale
    scale.set_yscale("function", functions=(to_mel, to_hz))
    highest = float(heat_map.hz[-1])
    ticks = [tick for tick in TICKS if tick <= highest]
    axes.set_yticks(ticks, [f"{tick // 1000} kHz" if tick >= 1000 else f"{tick} Hz" for tick in ticks], minor=False)
    axes.set_ylim(0, highest)
    axes.set_xlim(float(heat_map.seconds[0]), float(heat_map.seconds[-1]))
    axes.set_xlabel("time in seconds")
    axes.set_title(title, fontsize=10)
    axes.figure.colorbar(mesh, ax=axes, label=heat_map.unit, pad=0.01)


def thinned(heat_map: HeatMap) -> HeatMap:
    """The maxima of neighbouring frames, if there are more than the picture has columns."""
    step = -(-heat_map.values.shape[1] // MOST_FRAMES)
    starts = np.arange(0, heat_map.values.shape[1], step)
    values = np.maximum.reduceat(heat_map.values, starts, axis=1)
    return HeatMap(values, heat_map.hz, np.append(heat_map.seconds[starts], heat_map.seconds[-1]), heat_map.unit)


def _box(axes: Axes, box: Box, number: int, colour: str) -> None:
    from matplotlib.patches import Rectangle

    (start, end), (low, high) = box
    axes.add_patch(Rectangle((start, low), end - start, high - low, fill=False, edgecolor=colour, linewidth=1.5))
    axes.annotate(str(number), (start, high), (3, -3), textcoords="offset points", va="top", color=colour, fontsize=9)
