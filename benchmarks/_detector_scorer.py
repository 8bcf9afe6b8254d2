"""One fitted detector as a Scorer of sounds in memory, for benchmarks that train their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from asd_ray.clips.bank import ClipSet
from asd_ray.deploy.explain.spectrum import normal_profile
from asd_ray.deploy.result import ClipScore, Samples
from asd_ray.features import FeatureCache, FrontEnd
from asd_ray.features.extract import Features, extract


class Uncached(FeatureCache):
    """Computes features and stores none: every altered clip is scored once."""

    def get(
        self, front_end: FrontEnd, clips: ClipSet, *, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> Features:
        return extract(front_end, clips, device=device, dtype=dtype)


class Sounds(ClipSet):
    """Sounds in memory, all of one id."""

    def __init__(self, waves: Sequence[Samples], rate: int, id: str) -> None:
        self._waves, self._rate, self._id = waves, rate, id
        self.rows = np.arange(len(waves))

    @cached_property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame({"id": [self._id] * len(self), "domain": "source"})

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.array([len(wave) for wave in self._waves], np.int64)

    def samples(self, i: int) -> Samples:
        return self._waves[i]


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

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.normal.frame["id"])))

    def normal_scores(self, id: str) -> npt.NDArray[np.float64]:
        every = self._by_id.get(id)
        return np.sort(np.concatenate(list(self._by_id.values()))) if every is None else every

    def normal_profile(self, id: str) -> npt.NDArray[np.floating]:
        clips = self.normal.take((self.normal.frame["id"] == id).to_numpy()) if id in self.ids else self.normal
        return normal_profile((clips.samples(i) for i in range(len(clips))), self.rate)

    def score_waves(self, waves: Sequence[Samples], id: str = "", names: Sequence[str] = ()) -> list[ClipScore]:
        values = self.detector.score(Sounds(waves, self.rate, id))[self.variant]
        normal = self.normal_scores(id)
        return [
            ClipScore("", id, len(wave) / self.rate, score, float((normal < score).mean()), self.threshold)
            for wave, score in zip(waves, ((values - self._mean) / self._deviation).tolist(), strict=True)
        ]
