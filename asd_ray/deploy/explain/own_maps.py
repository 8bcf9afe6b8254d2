"""The maps that families have of their own, such as reconstruction errors, combined for the members of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from asd_ray._precision import full_float32
from asd_ray.clips.bank import ClipSet
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy.explain.heat_map import Floats, HeatMap, mel_edges
from asd_ray.deploy.result import Samples, Scorer
from asd_ray.errors import AsdRayError
from asd_ray.features import FrontEnd
from asd_ray.features.spectral import LogMel, Spectral

UNIT = "deviations from the clip's median"


class Member(Protocol):
    """A member of a bundle, as far as it is needed here."""

    @property
    def family(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def detector(self) -> Any: ...


@runtime_checkable
class HasMembers(Protocol):
    @property
    def members(self) -> Sequence[Member]: ...


def own_map(scorer: Scorer, wave: Samples, machine_id: str) -> tuple[HeatMap, tuple[str, ...]]:
    """The weighted mean of the members' own maps, and the families that have one.

    The units of families differ. So each map is first counted in robust deviations from its own median over the clip:
    it shows where the clip is unlike the rest of itself, not how anomalous the whole clip is.
    """
    members = scorer.members if isinstance(scorer, HasMembers) else ()
    with_map = [member for member in members if hasattr(member.detector, "error_map")]
    if not with_map:
        names = ", ".join(sorted({member.family for member in members})) or "a scorer without members"
        raise AsdRayError(f"no member has a map of its own ({names}); explain by occlusion, without --own")
    detectors = {id(member.detector): member.detector for member in with_map}  # variants of one detector share its map
    weights = [sum(m.weight for m in with_map if m.detector is detector) for detector in detectors.values()]
    bank = WaveBank([wave], machine=scorer.machine, rate=scorer.rate, ids=[machine_id])
    clips = ClipSet(bank, np.arange(1))
    with full_float32():
        near = wave if wave.ndim == 1 else wave[0]
        maps = [on_axes(each.error_map(clips)[0], each.front_end, near) for each in detectors.values()]
    finest = max(maps, key=lambda heat_map: heat_map.values.size)
    hz, seconds = ((edges[1:] + edges[:-1]) / 2 for edges in (finest.hz, finest.seconds))
    values = np.average([_standardised(each.at(hz, seconds)) for each in maps], 0, weights)
    families = tuple(sorted({member.family for member in with_map}))
    return HeatMap(values, finest.hz, finest.seconds, UNIT), families


def _standardised(values: Floats) -> Floats:
    median = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - median)) or float(values.std()) or 1.0
    return np.asarray((values - median) / deviation)


def on_axes(values: Floats, front_end: FrontEnd, wave: Samples) -> HeatMap:
    """A map [frames, bands] with the times and frequencies of its front end."""
    if not isinstance(front_end, Spectral):
        raise AsdRayError(f"own maps need a front end of spectra but this one is {front_end.KIND}; leave out --own")
    expected = front_end.frames(len(wave)), front_end.shape[0]
    if values.shape != expected or not np.isfinite(values).all():
        raise AsdRayError(
            f"error_map must give finite numbers of shape {list(expected)} but gave {list(values.shape)}; correct "
            "it, or leave out --own"
        )
    rate, length = front_end.rate, len(wave) / front_end.rate
    if isinstance(front_end, LogMel):
        hz = _edges_of_filters(front_end.fmin, front_end.fmax or rate / 2, front_end.mels, front_end.scale)
    else:
        hz = np.linspace(0.0, rate / 2, values.shape[1] + 1)
    centres = np.arange(len(values) + 1) * front_end.hop + (0 if front_end.center else front_end.n_fft / 2)
    seconds = np.clip((centres - front_end.hop / 2) / rate, 0.0, length)
    seconds[[0, -1]] = 0.0, length
    return HeatMap(values.T, hz, seconds, "")


def _edges_of_filters(low: float, high: float, mels: int, scale: str) -> Floats:
    """Filter m of a mel front end is a triangle over points m to m + 2 of mels + 2; edges are midway between peaks."""
    halves = mel_edges(low, high, 2 * (mels + 1), scale)
    return halves[1:-1:2]
