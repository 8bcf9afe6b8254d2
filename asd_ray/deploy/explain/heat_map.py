"""A map over time and frequency, and the grid of cells on which maps are computed and searched for regions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.errors import AsdRayError

Floats = npt.NDArray[np.floating]
MOST_STEPS = 80  # spans per clip: the spans of clips longer than 20 s become longer
POINTS = 8  # per cell and axis, when a map is averaged on a coarser grid
LINEAR_MEL, LINEAR_HZ, LOG_STEP = 15.0, 1000.0, math.log(6.4) / 27  # Slaney's scale: linear up to 1 kHz


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Values [bands, steps], higher where the sound is more anomalous, and the edges of their cells."""

    values: Floats
    hz: Floats  # bands + 1 edges
    seconds: Floats  # steps + 1 edges
    unit: str

    def at(self, hz: Floats, seconds: Floats) -> Floats:
        """The values at all pairs of these frequencies and times, [len(hz), len(seconds)]."""
        values: Floats = self.values[np.ix_(_cells(self.hz, hz), _cells(self.seconds, seconds))]
        return values

    def on(self, hz: Floats, seconds: Floats) -> HeatMap:
        """This map averaged on a grid of coarser cells with these edges."""
        fine = self.at(_points(hz), _points(seconds))
        values = fine.reshape(len(hz) - 1, POINTS, len(seconds) - 1, POINTS).mean((1, 3))
        return HeatMap(values, hz, seconds, self.unit)

    def later(self, seconds: float) -> HeatMap:
        """The same map with its times moved by `seconds`."""
        return replace(self, seconds=self.seconds + seconds)

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "hz": self.hz.round(1).tolist(),
            "seconds": self.seconds.round(4).tolist(),
            "values": [[float(f"{value:.6g}") for value in row] for row in self.values.tolist()],
        }


@dataclass(frozen=True)
class Grid:
    """How fine an explanation is. A patch is one of `bands` bands, evenly spaced in mel, for `span` seconds.

    Patches overlap by half in both directions, so a cell of the map is half a band wide and half a span long.
    """

    bands: int = 16
    span: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.bands <= 64:
            raise AsdRayError(f"bands must be a whole number from 1 to 64 but got {self.bands}")
        if not 0.05 <= self.span <= 60:
            raise AsdRayError(f"span must be between 0.05 and 60 seconds but got {self.span:g}")

    def hz(self, rate: int) -> Floats:
        """The edges of the map's cells in frequency, bands + 2 of them."""
        return mel_edges(0.0, rate / 2, self.bands + 1)

    def seconds(self, length: float) -> Floats:
        """The edges of the map's cells in time, for a clip of `length` seconds."""
        steps = max(1, min(MOST_STEPS, round(2 * length / self.span)))
        return np.linspace(0.0, length, steps + 1)


def mel_edges(low: float, high: float, count: int, scale: str = "slaney") -> Floats:
    """The count + 1 edges of bands of equal width in mel, in Hz."""
    lowest, highest = to_mel(np.array([low, high]), scale).tolist()
    edges = to_hz(np.linspace(lowest, highest, count + 1), scale)
    edges[[0, -1]] = low, high  # exactly
    return edges


def to_mel(hz: Floats, scale: str = "slaney") -> Floats:
    """Hz in mel: "htk" or "slaney", as the scales of front ends."""
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    above = LINEAR_MEL + np.log(np.maximum(hz, LINEAR_HZ) / LINEAR_HZ) / LOG_STEP
    return np.where(hz < LINEAR_HZ, hz * LINEAR_MEL / LINEAR_HZ, above)


def to_hz(mel: Floats, scale: str = "slaney") -> Floats:
    """The inverse of `to_mel`."""
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    above = LINEAR_HZ * np.exp(LOG_STEP * (np.maximum(mel, LINEAR_MEL) - LINEAR_MEL))
    return np.where(mel < LINEAR_MEL, mel * LINEAR_HZ / LINEAR_MEL, above)


def _cells(edges: Floats, at: Floats) -> npt.NDArray[np.intp]:
    return np.clip(np.searchsorted(edges, at, "right") - 1, 0, len(edges) - 2)


def _points(edges: Floats) -> Floats:
    """POINTS evenly spaced points in each cell."""
    within = (np.arange(POINTS) + 0.5) / POINTS
    return np.asarray(edges[:-1, None] + np.diff(edges)[:, None] * within).ravel()
