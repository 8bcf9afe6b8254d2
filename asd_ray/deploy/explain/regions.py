"""The strongest regions of a map, and what kind of sound is in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import label

from asd_ray.deploy.explain.heat_map import HeatMap, to_mel
from asd_ray.deploy.explain.occlusion import mask_of
from asd_ray.deploy.explain.spectrum import Floats, Mask, Spectrum

MOST = 5  # regions of a map
PART_OF_PEAK = 0.3  # a cell belongs to a region from this part of the map's maximum on …
NOISE = 2.0  # … and from so many deviations above the map's median on
STANDS_OUT = 3.0  # deviations: a map whose maximum is lower has no region
INNER = 0.95  # of what is outside the normal range: the extent of a region holds this share of it
TONAL_OCTAVES, TONAL_BINS = 0.25, 10  # the widest tone: a fourth of an octave, or the leakage of the window
TONAL_SECONDS = 0.2  # the shortest tone
IMPULSIVE_SECONDS = 0.15  # the longest click, including the length of the window
BROAD = 0.5  # share of the mel scale: the narrowest broadband sound
KINDS = ("tonal", "impulsive", "band", "broadband")


@dataclass(frozen=True)
class Region:
    """A region of the map. `seconds` and `hz` are those of the sound in it that is outside the normal range."""

    kind: str  # one of KINDS
    seconds: tuple[float, float]
    hz: tuple[float, float]
    centre_seconds: float
    centre_hz: float
    quieter: bool  # than normal: something is missing
    whole_clip: bool  # it lasts from the start to the end
    share: float  # of the sum of the map's positive values
    score_without: float  # the score after this region alone is filled with normal sound
    cells_seconds: tuple[float, float]  # the box around its cells of the map
    cells_hz: tuple[float, float]

    @property
    def words(self) -> str:
        """Such as "tonal, about 3.2 kHz, from 4.1 s to 5.0 s"."""
        low, high = self.hz
        where = f"about {hertz(self.centre_hz)}" if self.kind == "tonal" else f"{hertz(low)} to {hertz(high)}"
        start, end = self.seconds
        digits = 1 if end - start >= 0.5 else 2
        if self.kind == "impulsive":
            when = f"at {self.centre_seconds:.2f} s"
        else:
            when = "over the whole clip" if self.whole_clip else f"from {start:.{digits}f} s to {end:.{digits}f} s"
        return f"{self.kind}, {where}, {when}{', quieter than normal' * self.quieter}"

    def later(self, seconds: float) -> Region:
        """The same region in a longer recording, of which the clip was cut out `seconds` after its start."""
        start, end = self.seconds
        first, last = self.cells_seconds
        return replace(
            self,
            seconds=(start + seconds, end + seconds),
            centre_seconds=self.centre_seconds + seconds,
            cells_seconds=(first + seconds, last + seconds),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "words": self.words,
            "kind": self.kind,
            "seconds": _rounded(self.seconds),
            "hz": _rounded(self.hz),
            "centre_seconds": round(self.centre_seconds, 3),
            "centre_hz": round(self.centre_hz, 1),
            "quieter": self.quieter,
            "whole_clip": self.whole_clip,
            "share": round(self.share, 4),
            "score_without": self.score_without,
            "cells_seconds": _rounded(self.cells_seconds),
            "cells_hz": _rounded(self.cells_hz),
        }


def hertz(value: float) -> str:
    """440 Hz or 3.2 kHz."""
    return f"{value / 1000:.1f} kHz" if value >= 950 else f"{10 * round(value / 10)} Hz"


def strongest(heat_map: HeatMap) -> list[Mask]:
    """The cells of the strongest connected regions, the strongest first; none if nothing stands out of the noise.

    The noise of a map is measured by the median absolute deviation of its values.
    """
    values = heat_map.values
    median = float(np.median(values))
    deviation = 1.4826 * float(np.median(np.abs(values - median)))
    peak = float(values.max())
    if peak <= max(0.0, median + STANDS_OUT * deviation):
        return []
    above = values >= max(PART_OF_PEAK * peak, median + NOISE * deviation)
    numbers, count = label(above)
    masks = [numbers == number for number in range(1, count + 1)]
    return sorted(masks, key=lambda mask: -float(values[mask].sum()))[:MOST]


def describe(heat_map: HeatMap, cells: Mask, spectrum: Spectrum, normal: Floats, score_without: float) -> Region:
    """What is in a region: the extent, the kind and the direction of what is outside the normal range there."""
    outside = np.where(mask_of(spectrum, heat_map, cells), spectrum.excess_db(normal), 0.0)
    louder, quieter = np.maximum(outside, 0) ** 2, np.minimum(outside, 0) ** 2  # squares: noise is just outside
    missing = bool(quieter.sum() > louder.sum())
    weights = quieter if missing else louder
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    cells_hz = (float(heat_map.hz[rows[0]]), float(heat_map.hz[rows[-1] + 1]))
    cells_seconds = (float(heat_map.seconds[columns[0]]), float(heat_map.seconds[columns[-1] + 1]))
    length, half = float(heat_map.seconds[-1]), spectrum.rate / 2
    bin_hz, hop_seconds = spectrum.rate / spectrum.n_fft, spectrum.hop / spectrum.rate
    hz, centre_hz = _extent(weights.sum(1), spectrum.hz, bin_hz, cells_hz, half)
    seconds, centre_seconds = _extent(weights.sum(0), spectrum.seconds, hop_seconds, cells_seconds, length)
    positive = np.maximum(heat_map.values, 0)
    return Region(
        kind=_kind(hz, centre_hz, seconds[1] - seconds[0], spectrum),
        seconds=seconds,
        hz=hz,
        centre_seconds=centre_seconds,
        centre_hz=centre_hz,
        quieter=missing,
        whole_clip=cells_seconds == (0.0, length) and seconds[1] - seconds[0] > 0.7 * length,
        share=float(positive[cells].sum() / positive.sum()),
        score_without=score_without,
        cells_seconds=cells_seconds,
        cells_hz=cells_hz,
    )


def _kind(hz: tuple[float, float], centre: float, seconds: float, spectrum: Spectrum) -> str:
    low, high = to_mel(np.array(hz)) / to_mel(np.array([spectrum.rate / 2]))
    widest_tone = max(TONAL_BINS * spectrum.rate / spectrum.n_fft, centre * (2**TONAL_OCTAVES - 1))
    narrow = hz[1] - hz[0] <= widest_tone
    if seconds <= IMPULSIVE_SECONDS and not narrow:
        return "impulsive"
    if seconds >= TONAL_SECONDS and narrow:
        return "tonal"
    return "broadband" if high - low >= BROAD else "band"


def _extent(
    weights: Floats, at: Floats, step: float, box: tuple[float, float], most: float
) -> tuple[tuple[float, float], float]:
    """The shortest interval with the share INNER of the weights, and their median. The box itself if they are all 0."""
    total = np.concatenate([[0.0], np.cumsum(weights)])
    if total[-1] <= 0:
        return box, (box[0] + box[1]) / 2
    ends = np.searchsorted(total, total[:-1] + INNER * total[-1] * (1 - 1e-9))
    starts = np.flatnonzero(ends < len(total))
    best = starts[np.argmin(ends[starts] - starts)]
    low, high = at[best] - step / 2, at[ends[best] - 1] + step / 2
    centre = float(at[np.searchsorted(total, total[-1] / 2) - 1])
    return (float(np.clip(low, 0, most)), float(np.clip(high, 0, most))), centre


def _rounded(pair: tuple[float, float]) -> list[float]:
    return [round(value, 3) for value in pair]
