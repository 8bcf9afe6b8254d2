"""One fitted detector as a Scorer of sounds in memory, for benchmarks that train their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.clips.bank import ClipSet
from asd_ray.clips.sound_profile import profiles_of
from asd_ray.clips.wave_bank import WaveBank
from asd_ray.deploy.result import ClipScore, Samples


@dataclass(frozen=True)
class Member:
    family: str
    detector: Any
    weight: float = 1.0


class DetectorScorer:
    """A detector and one of its variants; scores are standardised by those of the normal clips of each id."""

    def __init__(self, machine: str, detector: Any, variant: str, rate: int, normal: ClipSet) -> None:
        self.machine, self.variant, self.rate = machine, variant, rate
        self.members = (Member(type(detector).__name__.lower(), detector),)
        values, ids = detector.score(normal)[variant], normal.frame["id"].to_numpy(str)
        self.ids = tuple(sorted(set(ids.tolist())))
        self._units = {id: (float(values[ids == id].mean()), float(values[ids == id].std())) for id in self.ids}
        self._normal = {id: np.sort((values[ids == id] - mean) / std) for id, (mean, std) in self._units.items()}
        self._profiles = profiles_of(normal)
        self.threshold = float(np.quantile(np.concatenate(list(self._normal.values())), 0.95))

    def normal_scores(self, id: str) -> npt.NDArray[np.float64]:
        return self._normal[id]

    def normal_profile(self, id: str) -> npt.NDArray[np.float64]:
        return np.asarray(10 ** (np.array(self._profiles[id].spectrum_db) / 20))

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        bank = WaveBank(waves, machine=self.machine, rate=self.rate, ids=[id] * len(waves))
        values = self.members[0].detector.score(ClipSet(bank, np.arange(len(waves))))[self.variant]
        mean, deviation = self._units[id]
        return [
            ClipScore("", id, len(wave) / self.rate, score, float((self._normal[id] < score).mean()), self.threshold)
            for wave, score in zip(waves, ((values - mean) / deviation).tolist(), strict=True)
        ]
