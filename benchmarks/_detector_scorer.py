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


@dataclass
class DetectorScorer:
    """A detector, its variant, and the normal clips that its scores are standardised by."""

    machine: str
    detector: Any
    variant: str
    rate: int
    normal: ClipSet

    def __post_init__(self) -> None:
        values = self.detector.score(self.normal)[self.variant]
        self._mean, self._deviation = float(values.mean()), float(values.std())
        standardised = (values - self._mean) / self._deviation
        self._by_id = {
            id: np.sort(standardised[(self.normal.frame["id"] == id).to_numpy()]) for id in self.ids
        }  # ascending
        self.threshold = float(np.quantile(standardised, 0.95))
        self._profiles = profiles_of(self.normal)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.normal.frame["id"])))

    def normal_scores(self, id: str) -> npt.NDArray[np.float64]:
        every = self._by_id.get(id)
        return np.sort(np.concatenate(list(self._by_id.values()))) if every is None else every

    def normal_profile(self, id: str) -> npt.NDArray[np.float64]:
        profile = self._profiles.get(id, self._profiles[""])
        return np.asarray(10 ** (np.array(profile.spectrum_db) / 20))

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        bank = WaveBank(waves, machine=self.machine, rate=self.rate, ids=[id] * len(waves))
        values = self.detector.score(ClipSet(bank, np.arange(len(waves))))[self.variant]
        normal = self.normal_scores(id)
        return [
            ClipScore("", id, len(wave) / self.rate, score, float((normal < score).mean()), self.threshold)
            for wave, score in zip(waves, ((values - self._mean) / self._deviation).tolist(), strict=True)
        ]
